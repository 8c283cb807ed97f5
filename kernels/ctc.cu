#include <cmath>
#include <limits>

#include "kernels/ctc.h"
#include "kernels/device.h"
#include "kernels/log_add.h"
#include "kernels/softmax_row.h"

/// Three kernels: the softmax of all frames at once; the recursions, a block for each example,
/// frame after frame, with the states over its threads; and what their posteriors take from the
/// gradient, again all frames at once. The second takes the time, 2 lengths[b] steps that wait for
/// memory and for a barrier each, so that examples run beside each other for nothing up to the
/// number of multiprocessors. Its states are in global memory, which a target of any length fits
/// into: scratch is 16 labels bytes a frame with the gradient, and two frames' worth an example
/// without.
namespace minnow::cuda {
namespace {

/// Scratch memory of all examples.
struct CtcRoom {
  double* lse;     ///< [batch, frames] log sum e^x
  double* states;  ///< [batch, rows, numbers]: rows t % rows; alpha_t, and at last posteriors
  int64_t rows;
  double* ahead;  ///< [batch, 2, numbers]
  /// [batch, labels] positions in the target: of the first label like this one, and of the next, or
  /// the target's length.
  int64_t *first, *next;

  __device__ CtcStates alpha(const CtcShape& s, int64_t b, int64_t t) const {
    return CtcStates::at(states + (b * rows + t % rows) * CtcStates::numbers(s.labels), s.labels);
  }
  __device__ CtcStates before(const CtcShape& s, int64_t b, int64_t t) const {
    return CtcStates::at(ahead + (2 * b + t % 2) * CtcStates::numbers(s.labels), s.labels);
  }
};

/// What an example is asked for.
struct CtcTarget {
  const int64_t* label;
  int64_t count;

  /// Whether label i may follow i - 1 with no blank between them, as a log-probability.
  __device__ double skip(int64_t i) const {
    return i > 0 && i < count && label[i] != label[i - 1] ? 0.0 : log_zero;
  }
};

/// f(i) for this thread's share of [0, n).
template <class F>
__device__ void each_in_block(int64_t n, F f) {
  for (int64_t i = threadIdx.x; i < n; i += blockDim.x) f(i);
}

template <class T, int n, int team>
__global__ void ctc_softmax_kernel(CtcShape s, const T* x, const int64_t* lengths, double* lse,
                                   T* p) {
  for (int64_t r = team_first<team>(); r < s.batch * s.frames; r += team_step<team>()) {
    const int64_t b = r / s.frames, at = r * s.classes;
    if (r - b * s.frames < ctc_frames(s, lengths[b])) {
      const SoftmaxRow<T> row = softmax_row<n, team>(s.classes, x + at);
      if (p != nullptr) store_softmax<n, team>(s.classes, row, x + at, p + at);
      if (threadIdx.x % team == 0) {
        lse[r] = static_cast<double>(row.most) + std::log(static_cast<double>(row.sum));
      }
    } else if (p != nullptr) {
      each_run<n, team>(s.classes, [&](int64_t i) { store_run(p + at + i, Run<T, n>{}); });
    }
  }
}

/// Whether an example's lengths and labels are in their ranges; every thread gets the answer.
__device__ bool in_range(const CtcShape& s, int64_t frames, const CtcTarget& target) {
  if (frames < 0 || frames > s.frames || target.count < 0 || target.count > s.labels) return false;
  bool bad = false;
  each_in_block(target.count,
                [&](int64_t i) { bad |= target.label[i] < 1 || target.label[i] >= s.classes; });
  return !__syncthreads_or(bad);
}

/// Fills `first` and `next` of one example.
__device__ void link_equal_labels(const CtcTarget& target, int64_t* first, int64_t* next) {
  each_in_block(target.count, [&](int64_t i) {
    int64_t before = 0, after = i + 1;
    while (target.label[before] != target.label[i]) ++before;
    while (after < target.count && target.label[after] != target.label[i]) ++after;
    first[i] = before;
    next[i] = after;
  });
}

/// One example's alphas, x and lse being its own. Every thread gets the loss.
template <class T>
__device__ double ctc_forward_recursion(const CtcShape& s, const CtcRoom& room, int64_t frames,
                                        const CtcTarget& target, const T* x, const double* lse) {
  const int64_t b = blockIdx.x, count = target.count;
  each_in_block(count + 1, [&](int64_t i) {
    const CtcStates start = room.alpha(s, b, 0);
    start.blank[i] = i == 0 ? 0.0 : log_zero;
    start.label[i] = log_zero;
  });
  __syncthreads();
  for (int64_t t = 0; t < frames; ++t, x += s.classes) {
    const CtcStates from = room.alpha(s, b, t), to = room.alpha(s, b, t + 1);
    const double blank = static_cast<double>(x[0]) - lse[t];
    each_in_block(count + 1, [&](int64_t i) {
      if (i == 0) to.label[0] = log_zero;
      to.blank[i] = blank + log_add(from.blank[i], from.label[i]);
      if (i == count) return;
      to.label[i + 1] = static_cast<double>(x[target.label[i]]) - lse[t] +
                        log_add(from.label[i + 1], from.blank[i], from.label[i] + target.skip(i));
    });
    __syncthreads();
  }
  const CtcStates last = room.alpha(s, b, frames);
  return -log_add(last.blank[count], last.label[count]);
}

/// The recursion from the last frame to the first; posteriors take the place of the alphas.
template <class T>
__device__ void ctc_backward_recursion(const CtcShape& s, const CtcRoom& room, int64_t frames,
                                       const CtcTarget& target, const T* x, const double* lse,
                                       double loss) {
  const int64_t b = blockIdx.x, count = target.count;
  each_in_block(count + 1, [&](int64_t i) {
    const CtcStates end = room.before(s, b, frames), other = room.before(s, b, frames + 1);
    end.blank[i] = i == count ? 0.0 : log_zero;
    end.label[i + 1] = log_zero;
    other.label[i + 1] = log_zero;
  });
  __syncthreads();
  for (int64_t t = frames - 1; t >= 0; --t) {
    const T* row = x + t * s.classes;
    const CtcStates from = room.before(s, b, t + 1), to = room.before(s, b, t);
    const CtcStates alpha = room.alpha(s, b, t + 1);
    each_in_block(count + 1, [&](int64_t i) {
      const double blank = log_add(from.blank[i], from.label[i + 1]);
      alpha.blank[i] = exp_below(alpha.blank[i] + blank + loss);
      to.blank[i] = static_cast<double>(row[0]) - lse[t] + blank;
      if (i == count) return;
      const double label =
          log_add(from.label[i + 1], from.blank[i + 1], from.label[i + 2] + target.skip(i + 1));
      alpha.label[i + 1] = exp_below(alpha.label[i + 1] + label + loss);
      to.label[i + 1] = static_cast<double>(row[target.label[i]]) - lse[t] + label;
    });
    __syncthreads();
  }
}

template <class T>
__global__ void ctc_recursion_kernel(CtcShape s, CtcRoom room, const T* x, const int64_t* lengths,
                                     const int64_t* targets, const int64_t* target_lengths,
                                     T* losses) {
  const int64_t b = blockIdx.x, frames = lengths[b];
  const CtcTarget target{targets + b * s.labels, target_lengths[b]};
  double loss = std::numeric_limits<double>::quiet_NaN();
  if (in_range(s, frames, target)) {
    const double* lse = room.lse + b * s.frames;
    x += b * s.frames * s.classes;
    loss = ctc_forward_recursion(s, room, frames, target, x, lse);
    if (room.ahead != nullptr && std::isfinite(loss)) {
      link_equal_labels(target, room.first + b * s.labels, room.next + b * s.labels);
      ctc_backward_recursion(s, room, frames, target, x, lse, loss);
    }
  }
  if (threadIdx.x == 0) losses[b] = static_cast<T>(loss);
}

/// Subtracts the posteriors from the softmax in gx; a warp for each frame. The posteriors of one
/// class are added up in the order of the target.
template <class T>
__global__ void ctc_posterior_kernel(CtcShape s, CtcRoom room, const int64_t* lengths,
                                     const int64_t* targets, const int64_t* target_lengths,
                                     const T* losses, T* gx) {
  const int64_t lane = threadIdx.x % warp_lanes;
  for (int64_t r = team_first<warp_lanes>(); r < s.batch * s.frames; r += team_step<warp_lanes>()) {
    const int64_t b = r / s.frames, t = r - b * s.frames, at = b * s.labels;
    if (t >= ctc_frames(s, lengths[b])) continue;
    T* g = gx + r * s.classes;
    if (!std::isfinite(losses[b])) {
      for (int64_t k = lane; k < s.classes; k += warp_lanes) {
        g[k] = std::numeric_limits<T>::quiet_NaN();
      }
      continue;
    }
    const int64_t count = target_lengths[b];
    const CtcStates posterior = room.alpha(s, b, t + 1);
    double blank = 0;
    for (int64_t i = lane; i <= count; i += warp_lanes) blank += posterior.blank[i];
    blank = warp_sum(blank);
    if (lane == 0) g[0] -= static_cast<T>(blank);
    for (int64_t i = lane; i < count; i += warp_lanes) {
      if (room.first[at + i] != i) continue;
      double sum = 0;
      for (int64_t j = i; j < count; j = room.next[at + j]) sum += posterior.label[j + 1];
      g[targets[at + i]] -= static_cast<T>(sum);
    }
  }
}

/// A thread owns elements of an example's frames; grid.y walks over the examples.
template <class T>
__global__ void ctc_backward_kernel(CtcShape s, const int64_t* lengths, const T* gy, T* gx) {
  for (int64_t b = blockIdx.y; b < s.batch; b += gridDim.y) {
    T* g = gx + b * s.frames * s.classes;
    const int64_t n = ctc_frames(s, lengths[b]) * s.classes;
    for (int64_t i = grid_thread(); i < n; i += grid_threads()) g[i] *= gy[b];
  }
}

}  // namespace

template <class T>
void ctc_forward(const CtcShape& shape, const T* x, const int64_t* lengths, const int64_t* targets,
                 const int64_t* target_lengths, T* losses, T* gx) {
  const int64_t rows = gx == nullptr ? 2 : shape.frames + 1, kept = gx == nullptr ? 0 : shape.batch;
  const int64_t states = CtcStates::numbers(shape.labels) * int64_t{sizeof(double)};
  const Scratch lse(shape.batch * shape.frames * int64_t{sizeof(double)});
  const Scratch alpha(shape.batch * rows * states), ahead(kept * 2 * states);
  const Scratch links(kept * 2 * shape.labels * int64_t{sizeof(int64_t)});
  auto* first = links.as<int64_t>();
  const CtcRoom room{.lse = lse.as<double>(),
                     .states = alpha.as<double>(),
                     .rows = rows,
                     .ahead = ahead.as<double>(),
                     .first = first,
                     .next = first + kept * shape.labels};

  const auto start = [&](auto run, auto team, unsigned grid) {
    MINNOW_LAUNCH(grid, block_threads, 0, ctc_softmax_kernel<T, run, team>, shape, x, lengths,
                  room.lse, gx);
  };
  with_teams<T>(shape.batch * shape.frames, shape.classes, start, x, gx);

  const int64_t threads = std::min<int64_t>(
      block_threads, ceil_div(shape.labels + 1, warp_lanes) * int64_t{warp_lanes});
  MINNOW_LAUNCH(static_cast<unsigned>(shape.batch), static_cast<unsigned>(threads), 0,
                ctc_recursion_kernel<T>, shape, room, x, lengths, targets, target_lengths, losses);
  if (gx == nullptr) return;
  MINNOW_LAUNCH(grid_for(shape.batch * shape.frames, block_threads / warp_lanes), block_threads, 0,
                ctc_posterior_kernel<T>, shape, room, lengths, targets, target_lengths, losses, gx);
}

template <class T>
void ctc_backward(const CtcShape& shape, const int64_t* lengths, const T* gy, T* gx) {
  const unsigned across = grid_for(shape.frames * shape.classes);
  const auto down = static_cast<unsigned>(std::min<int64_t>(shape.batch, 65535));
  MINNOW_LAUNCH(dim3(across, down), block_threads, 0, ctc_backward_kernel<T>, shape, lengths, gy,
                gx);
}

#define MINNOW_INSTANTIATE(T)                                                             \
  template void ctc_forward<T>(const CtcShape&, const T*, const int64_t*, const int64_t*, \
                               const int64_t*, T*, T*);                                   \
  template void ctc_backward<T>(const CtcShape&, const int64_t*, const T*, T*);
MINNOW_INSTANTIATE(float)
MINNOW_INSTANTIATE(double)
#undef MINNOW_INSTANTIATE

}  // namespace minnow::cuda
