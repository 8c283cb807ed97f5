#include <limits>

#include "kernels/clip.h"
#include "kernels/device.h"

/// A few thousand numbers at most: what counts is that nobody waits for them, not their bandwidth.
/// Counts are whole numbers and minima exact, so that their order does not matter.
namespace minnow::cuda {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

__global__ void clip_begin_kernel(ClipTable t) {
  for (int64_t i = threadIdx.x; i < t.scopes * t.domains; i += blockDim.x) t.rho[i] = infinity;
  for (int64_t s = threadIdx.x; s < t.scopes; s += blockDim.x) t.examples[s] = t.taking_part[s] = 0;
}

/// A thread a group: reads 8 L bytes, neighbours side by side, and the losses of its examples.
template <class T>
__global__ void group_norms_kernel(ClipTable t, int64_t first, int64_t last, const double* sumsq,
                                   const T* losses) {
  const int64_t n = last - first;
  for (int64_t i = grid_thread(); i < n; i += grid_threads()) {
    double total = 0;
    for (int64_t l = 0; l < t.layers; ++l) {
      const double own = sumsq[l * n + i];
      t.sumsq[l * t.groups + first + i] = own;
      total += own;
    }
    t.norms[first + i] = group_norm(t, first + i, total, losses);
  }
}

/// A block a scope.
__global__ void see_groups_kernel(ClipTable t, int64_t first, int64_t last) {
  const int64_t s = blockIdx.x;
  double examples = 0, count = 0;
  for (int64_t j = first + threadIdx.x; j < last; j += blockDim.x) {
    if (!see_group(t, s, j)) continue;
    examples += static_cast<double>(t.bounds[j + 1] - t.bounds[j]);
    count += 1;
  }
  examples = block_sum(examples);
  count = block_sum(count);
  if (threadIdx.x == 0) {
    t.examples[s] += examples;
    t.taking_part[s] += count;
  }
  for (int64_t d = 0; d < t.domains; ++d) {
    double least = infinity;
    for (int64_t j = first + threadIdx.x; j < last; j += blockDim.x) {
      const double n = t.deciding[s * t.groups + j];
      if (t.domain_of(j) == d && t.factors[s * t.groups + j] != 0 && n < least) least = n;
    }
    least = -block_max(-least);
    double& rho = t.rho[s * t.domains + d];
    if (threadIdx.x == 0 && least < rho) rho = least;
  }
}

/// One block: counts, and the smallest norm, the first of its equals.
__global__ void summary_kernel(ClipTable t) {
  double nonfinite = 0, ineligible = 0, rho = infinity, part = 0;
  for (int64_t j = threadIdx.x; j < t.groups; j += blockDim.x) {
    const double n = t.norms[j];
    nonfinite += isfinite(n) ? 0 : 1;
    ineligible += isfinite(n) && n > 0 ? 0 : 1;
    if (isfinite(n) && n > 0 && n < rho) rho = n;
  }
  for (int64_t s = threadIdx.x; s < t.scopes; s += blockDim.x) part += t.taking_part[s];
  nonfinite = block_sum(nonfinite);
  ineligible = block_sum(ineligible);
  part = block_sum(part);
  rho = -block_max(-rho);
  double argmin = static_cast<double>(t.groups);
  for (int64_t j = threadIdx.x; j < t.groups; j += blockDim.x) {
    if (t.norms[j] == rho && static_cast<double>(j) < argmin) argmin = static_cast<double>(j);
  }
  argmin = -block_max(-argmin);
  if (threadIdx.x != 0) return;
  const bool none = ineligible == static_cast<double>(t.groups);
  const bool drops = t.rule.on_nonfinite == OnNonfinite::drop;
  const bool skip = part == 0 || (nonfinite > 0 && !drops);
  *t.summary = {none ? 0 : rho, none ? -1 : argmin, ineligible, nonfinite, skip ? 1.0 : 0.0};
  *t.skipped = skip ? 1 : 0;
}

/// A block a scope.
__global__ void finish_scopes_kernel(ClipTable t) {
  const int64_t s = blockIdx.x;
  const bool skip = *t.skipped != 0;
  for (int64_t d = threadIdx.x; d < t.domains; d += blockDim.x) finish_common(t, s, d, skip);
  for (int64_t j = threadIdx.x; j < t.groups; j += blockDim.x) finish_group(t, s, j, skip);
}

/// A block a scope.
__global__ void thresholds_kernel(ClipTable t) {
  const int64_t s = blockIdx.x;
  const double threshold = t.thresholds[s];
  double below = 0, counted = 0;
  for (int64_t j = threadIdx.x; j < t.groups; j += blockDim.x) {
    const double n = t.deciding[s * t.groups + j];
    if (!isfinite(n) || n == 0) continue;
    counted += 1;
    below += n <= threshold ? 1 : 0;
  }
  below = block_sum(below);
  counted = block_sum(counted);
  if (threadIdx.x == 0) move_threshold(t, s, below, counted);
}

}  // namespace

void clip_begin(const ClipTable& t) {
  MINNOW_LAUNCH(1, block_threads, 0, clip_begin_kernel, t);
}

template <class T>
void clip_see(const ClipTable& t, int64_t first, int64_t last, const double* sumsq,
              const T* losses) {
  MINNOW_LAUNCH(grid_for(last - first), block_threads, 0, group_norms_kernel<T>, t, first, last,
                sumsq, losses);
  MINNOW_LAUNCH(static_cast<unsigned>(t.scopes), block_threads, 0, see_groups_kernel, t, first,
                last);
}

void clip_finish(const ClipTable& t) {
  MINNOW_LAUNCH(1, block_threads, 0, summary_kernel, t);
  const auto scopes = static_cast<unsigned>(t.scopes);
  MINNOW_LAUNCH(scopes, block_threads, 0, finish_scopes_kernel, t);
  if (t.thresholds != nullptr) MINNOW_LAUNCH(scopes, block_threads, 0, thresholds_kernel, t);
}

template void clip_see<float>(const ClipTable&, int64_t, int64_t, const double*, const float*);
template void clip_see<double>(const ClipTable&, int64_t, int64_t, const double*, const double*);

}  // namespace minnow::cuda
