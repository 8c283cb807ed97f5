#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace minnow::study {

/// A `minnow` of this build in a process of its own, which ends with this one: it is asked to, as
/// Ctrl-C would ask, when this process dies or the object goes.
class Child {
 public:
  /// What it prints goes to the end of the file `log`. RunError where it cannot be started.
  Child(std::vector<std::string> arguments, const std::filesystem::path& log);
  ~Child();
  Child(Child&& other) noexcept;
  Child& operator=(Child&&) = delete;

  /// The exit status, 128 + the signal that ended it, or nothing while it runs.
  std::optional<int> ended();
  /// Asks it to end, once.
  void interrupt();

 private:
  pid_t pid_ = -1;
  std::optional<int> status_;
  bool asked_ = false;
};

}  // namespace minnow::study
