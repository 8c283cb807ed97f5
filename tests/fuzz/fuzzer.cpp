// The entry point of libFuzzer; tests/fuzz/run.sh builds and starts it.
#include <cstdio>
#include <cstdlib>

#include "tests/fuzz/targets.h"

namespace {

const minnow::fuzz::Target& chosen() {
  const char* const name = std::getenv("MINNOW_FUZZ_TARGET");
  for (const auto& target : minnow::fuzz::targets()) {
    if (name != nullptr && target.name == name) return target;
  }
  std::fputs("MINNOW_FUZZ_TARGET must name a target; there are", stderr);
  for (const auto& target : minnow::fuzz::targets()) {
    std::fprintf(stderr, " %s", target.name.data());
  }
  std::fputs("\n", stderr);
  std::exit(2);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const minnow::fuzz::Target& target = chosen();
  minnow::fuzz::run(target, {data, size});
  return 0;
}
