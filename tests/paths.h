#pragma once

#include <filesystem>
#include <string_view>

namespace minnow::test {

/// A file of the source tree.
std::filesystem::path source_path(std::string_view relative);
/// The `minnow` that was built with these tests.
std::filesystem::path program_path();

}  // namespace minnow::test
