#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace minnow::fuzz {

using Bytes = std::span<const uint8_t>;

/// A parser of files or arguments that nobody vouches for.
struct Target {
  std::string_view name;
  /// Reads the input, and where that succeeds looks at what came out. Throws Error where the
  /// parser refuses the input; anything else is a fault of the parser.
  void (*read)(Bytes input);
};

const std::vector<Target>& targets();

/// Reads one input. Throws whatever is not an Error; returns whether the parser took the input.
bool run(const Target& target, Bytes input);

}  // namespace minnow::fuzz
