#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace minnow {

/// The caller's input is wrong: a shape, a key, a file. The command line turns it into exit
/// status 2.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The input was fine but the run itself failed: a full disk, a loss that is not a number. Exit
/// status 1.
class RunError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Throws Error with the formatted message unless `ok`. A message reads "where: the rule; what
/// came".
template <class... Args>
void check(bool ok, fmt::format_string<Args...> message, Args&&... args) {
  if (!ok) throw Error(fmt::format(message, std::forward<Args>(args)...));
}

}  // namespace minnow
