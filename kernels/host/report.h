#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/cuda.h"

namespace minnow::cuda::host {

/// What a CUDA thread does, as far as a message tells.
struct Wait {
  uint3 index = {};
  bool ended = false;
  const char* name = "";  ///< of the function in which it waits, if it has not ended
  uint32_t mask = 0;      ///< 0 at a barrier of the block
  Site site;

  /// Whether both wait at the same place for the same lanes.
  bool with(const Wait& other) const {
    return site.line == other.site.line && mask == other.mask && same(name, other.name) &&
           same(site.file, other.site.file);
  }
  static bool same(const char* a, const char* b) { return a == b || std::strcmp(a, b) == 0; }
};

std::string_view kernel_name(const LaunchSite& site);
/// Kernel, block and thread.
std::string place(const LaunchSite& site, const Wait& thread);
/// Function, mask, file and line.
std::string waits_at(const Wait& thread);
/// What is wrong with a block in which no thread can go on: all that they do, each with one that
/// does it.
std::string divergence(const LaunchSite& site, const std::vector<Wait>& threads);

}  // namespace minnow::cuda::host
