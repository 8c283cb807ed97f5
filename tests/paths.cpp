#include "tests/paths.h"

// The only file that is compiled with the paths of a build, so that all others come from a compiler
// cache wherever the tree lies.
namespace minnow::test {

std::filesystem::path source_path(std::string_view relative) {
  return std::filesystem::path(MINNOW_SOURCE_DIR) / relative;
}

std::filesystem::path program_path() {
  return MINNOW_PROGRAM;
}

}  // namespace minnow::test
