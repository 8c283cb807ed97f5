#include "kernels/host/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace minnow::cuda::host {

std::string_view kernel_name(const LaunchSite& site) {
  std::string_view text = site.text;
  if (text.starts_with('(')) text.remove_prefix(1);
  return text.substr(0, text.find_first_of("<,) "));
}

std::string place(const LaunchSite& site, const Wait& thread) {
  return fmt::format("{}, block ({}, {}, {}), thread ({}, {}, {})", kernel_name(site), blockIdx.x,
                     blockIdx.y, blockIdx.z, thread.index.x, thread.index.y, thread.index.z);
}

std::string waits_at(const Wait& thread) {
  const std::string mask = thread.mask ? fmt::format("(mask {:#010x})", thread.mask) : "";
  return fmt::format("{}{} {}:{}", thread.name, mask, thread.site.file, thread.site.line);
}

std::string divergence(const LaunchSite& site, const std::vector<Wait>& threads) {
  std::vector<std::pair<Wait, int>> groups;  // one thread, how many do the same
  for (const Wait& thread : threads) {
    const auto group = std::find_if(groups.begin(), groups.end(), [&](const auto& other) {
      return thread.ended ? other.first.ended : !other.first.ended && thread.with(other.first);
    });
    if (group == groups.end()) {
      groups.emplace_back(thread, 1);
    } else {
      ++group->second;
    }
  }
  const Wait first = std::find_if(threads.begin(), threads.end(),
                                  [](const Wait& thread) { return !thread.ended; })[0];
  std::string text = fmt::format(
      "{} waits in vain at {}; threads of its block:", place(site, first), waits_at(first));
  for (const auto& [thread, count] : groups) {
    text += fmt::format("{} {} (first: ({}, {}, {})) {}", &thread == &groups[0].first ? "" : ",",
                        count, thread.index.x, thread.index.y, thread.index.z,
                        thread.ended ? "ended" : "at " + waits_at(thread));
  }
  return text;
}

}  // namespace minnow::cuda::host
