#include "kernels/clip.h"

#include <algorithm>
#include <limits>

namespace minnow::cpu {

void clip_begin(const ClipTable& t) {
  std::fill_n(t.rho, t.scopes * t.domains, std::numeric_limits<double>::infinity());
  std::fill_n(t.examples, t.scopes, 0.0);
  std::fill_n(t.taking_part, t.scopes, 0.0);
}

template <class T>
void clip_see(const ClipTable& t, int64_t first, int64_t last, const double* sumsq,
              const T* losses) {
  const int64_t n = last - first;
  for (int64_t j = first; j < last; ++j) {
    double total = 0;
    for (int64_t l = 0; l < t.layers; ++l) {
      const double own = sumsq[l * n + j - first];
      t.sumsq[l * t.groups + j] = own;
      total += own;
    }
    t.norms[j] = group_norm(t, j, total, losses);
  }
  for (int64_t s = 0; s < t.scopes; ++s) {
    for (int64_t j = first; j < last; ++j) {
      if (!see_group(t, s, j)) continue;
      t.examples[s] += static_cast<double>(t.bounds[j + 1] - t.bounds[j]);
      t.taking_part[s] += 1;
      double& least = t.rho[s * t.domains + t.domain_of(j)];
      least = std::min(least, t.deciding[s * t.groups + j]);
    }
  }
}

namespace {

ClipSummary summarise(const ClipTable& t) {
  ClipSummary seen{.rho = 0, .argmin = -1, .ineligible = 0, .nonfinite = 0, .skipped = 0};
  for (int64_t j = 0; j < t.groups; ++j) {
    const double n = t.norms[j];
    if (!std::isfinite(n)) seen.nonfinite += 1;
    if (!std::isfinite(n) || n == 0) {
      seen.ineligible += 1;
    } else if (seen.argmin < 0 || n < seen.rho) {
      seen.rho = n;
      seen.argmin = static_cast<double>(j);
    }
  }
  const bool none_left =
      std::all_of(t.taking_part, t.taking_part + t.scopes, [](double n) { return n == 0; });
  const bool drops = t.rule.on_nonfinite == OnNonfinite::drop;
  seen.skipped = none_left || (seen.nonfinite > 0 && !drops) ? 1 : 0;
  return seen;
}

void update_thresholds(const ClipTable& t) {
  for (int64_t s = 0; s < t.scopes; ++s) {
    double below = 0, counted = 0;
    for (int64_t j = 0; j < t.groups; ++j) {
      const double n = t.deciding[s * t.groups + j];
      if (!std::isfinite(n) || n == 0) continue;
      counted += 1;
      below += n <= t.thresholds[s] ? 1 : 0;
    }
    move_threshold(t, s, below, counted);
  }
}

}  // namespace

void clip_finish(const ClipTable& t) {
  *t.summary = summarise(t);
  const bool skip = t.summary->skipped != 0;
  *t.skipped = skip ? 1 : 0;
  for (int64_t s = 0; s < t.scopes; ++s) {
    for (int64_t d = 0; d < t.domains; ++d) finish_common(t, s, d, skip);
    for (int64_t j = 0; j < t.groups; ++j) finish_group(t, s, j, skip);
  }
  if (t.thresholds != nullptr) update_thresholds(t);
}

template void clip_see<float>(const ClipTable&, int64_t, int64_t, const double*, const float*);
template void clip_see<double>(const ClipTable&, int64_t, int64_t, const double*, const double*);

}  // namespace minnow::cpu
