#include <cmath>

#include "kernels/device.h"
#include "kernels/layernorm.h"

namespace minnow::cuda {
namespace {

/// Moves (2 sizeof(T)) bytes an element and does 8 flops on it: bound by memory. A team (a warp or
/// a block) has a row, so that its moments need no other memory; the row is read from the device
/// once and twice again from the cache, which spares the cancellation of E[x^2] - E[x]^2.
template <class T, int n, int team>
__global__ void layernorm_forward_kernel(int64_t rows, int64_t width, Wide<T> eps, const T* x,
                                         const Wide<T>* weight, const Wide<T>* bias, T* y,
                                         Wide<T>* mean, Wide<T>* rstd) {
  using W = Wide<T>;
  for (int64_t r = team_first<team>(); r < rows; r += team_step<team>()) {
    const T* xr = x + r * width;
    W sum = 0, squares = 0;
    each_run<n, team>(width, [&](int64_t i) {
      const Run<W, n> in = load_wide<n>(xr + i);
      for (int k = 0; k < n; ++k) sum += in.v[k];
    });
    const W m = team_sum<team>(sum) / static_cast<W>(width);
    each_run<n, team>(width, [&](int64_t i) {
      const Run<W, n> in = load_wide<n>(xr + i);
      for (int k = 0; k < n; ++k) squares += (in.v[k] - m) * (in.v[k] - m);
    });
    const W s = W(1) / std::sqrt(team_sum<team>(squares) / static_cast<W>(width) + eps);
    each_run<n, team>(width, [&](int64_t i) {
      Run<W, n> out = load_wide<n>(xr + i);
      const Run<W, n> w = load_or<n>(weight, i, W(1)), b = load_or<n>(bias, i, W(0));
      for (int k = 0; k < n; ++k) out.v[k] = (out.v[k] - m) * s * w.v[k] + b.v[k];
      store_narrow<n>(y + r * width + i, out);
    });
    if (threadIdx.x % team == 0) {
      mean[r] = m;
      rstd[r] = s;
    }
  }
}

}  // namespace

template <class T>
void layernorm_forward(int64_t rows, int64_t width, Wide<T> eps, const T* x, const Wide<T>* weight,
                       const Wide<T>* bias, T* y, Wide<T>* mean, Wide<T>* rstd) {
  const auto start = [=](auto run, auto team, unsigned grid) {
    constexpr int n = run, lanes = team;
    MINNOW_LAUNCH(grid, block_threads, 0, layernorm_forward_kernel<T, n, lanes>, rows, width, eps,
                  x, weight, bias, y, mean, rstd);
  };
  with_teams<T>(rows, width, start, x, weight, bias, y);
}

namespace {

/// What the backward pass is about: each example has `each` rows, in `chunks` pieces of `chunk`
/// rows (the last is shorter).
struct Pieces {
  int64_t examples, each, chunk, chunks;
};

Pieces pieces_of(int64_t examples, int64_t each) {
  // Partial sums cost (8 / chunk) of the traffic of the rows; but a team walks a chunk row by row,
  // and one thread adds up all chunks of an element, so neither may be long.
  const auto root = static_cast<int64_t>(std::sqrt(static_cast<double>(each)));
  const int64_t chunk = std::max<int64_t>(16, root);
  return {examples, each, chunk, std::max<int64_t>(1, ceil_div(each, chunk))};
}

/// One row, with h = gy * weight and n = (x - mean) rstd: gx = rstd (h - mean(h) - n mean(h n));
/// adds gy n to gweight and gy to gbias, of which this thread owns the same columns for every row.
template <class T, int n, int team>
__device__ void layernorm_backward_row(int64_t width, const T* x, const Wide<T>* weight, Wide<T> m,
                                       Wide<T> s, const T* gy, T* gx, Wide<T>* gweight,
                                       Wide<T>* gbias) {
  using W = Wide<T>;
  W sum_h = 0, sum_hn = 0;
  each_run<n, team>(width, [&](int64_t i) {
    const Run<W, n> in = load_wide<n>(x + i), g = load_wide<n>(gy + i);
    const Run<W, n> w = load_or<n>(weight, i, W(1));
    Run<W, n> normal;
    for (int k = 0; k < n; ++k) {
      normal.v[k] = (in.v[k] - m) * s;
      sum_h += g.v[k] * w.v[k];
      sum_hn += g.v[k] * w.v[k] * normal.v[k];
    }
    if (gweight != nullptr) {
      Run<W, n> of_weight = load_run<n>(gweight + i), of_bias = load_run<n>(gbias + i);
      for (int k = 0; k < n; ++k) {
        of_weight.v[k] += g.v[k] * normal.v[k];
        of_bias.v[k] += g.v[k];
      }
      store_run(gweight + i, of_weight);
      store_run(gbias + i, of_bias);
    }
  });
  const W mean_h = team_sum<team>(sum_h) / static_cast<W>(width);
  const W mean_hn = team_sum<team>(sum_hn) / static_cast<W>(width);
  each_run<n, team>(width, [&](int64_t i) {
    const Run<W, n> in = load_wide<n>(x + i), w = load_or<n>(weight, i, W(1));
    Run<W, n> g = load_wide<n>(gy + i);
    for (int k = 0; k < n; ++k) {
      g.v[k] = s * (g.v[k] * w.v[k] - mean_h - (in.v[k] - m) * s * mean_hn);
    }
    store_narrow<n>(gx + i, g);
  });
}

/// Moves (3 sizeof(T)) bytes an element and does 16 flops on it: bound by memory. A team has one
/// piece of an example's rows and keeps the sums of gweight and gbias over it in shared memory (or,
/// where `held` is false because a row is too long for it, in place), each thread those of its own
/// columns. gweight and gbias are [examples * chunks, width].
template <class T, int n, int team>
__global__ void layernorm_backward_kernel(Pieces pieces, int64_t width, const T* x,
                                          const Wide<T>* weight, const Wide<T>* mean,
                                          const Wide<T>* rstd, const T* gy, T* gx, Wide<T>* gweight,
                                          Wide<T>* gbias, bool held) {
  using W = Wide<T>;
  const bool summed = gweight != nullptr;
  W* const mine = dynamic_shared<W>() + threadIdx.x / team * 2 * width;
  const int64_t count = pieces.examples * pieces.chunks;
  for (int64_t p = team_first<team>(); p < count; p += team_step<team>()) {
    W* of_weight = !summed ? nullptr : held ? mine : gweight + p * width;
    W* of_bias = !summed ? nullptr : held ? mine + width : gbias + p * width;
    if (summed) {
      each_run<n, team>(width, [&](int64_t i) {
        store_run(of_weight + i, Run<W, n>{});
        store_run(of_bias + i, Run<W, n>{});
      });
    }
    const int64_t example = p / pieces.chunks, first = p % pieces.chunks * pieces.chunk;
    const int64_t begin = example * pieces.each + first;
    const int64_t end = begin + min(pieces.chunk, pieces.each - first);
    for (int64_t r = begin; r < end; ++r) {
      const int64_t at = r * width;
      layernorm_backward_row<T, n, team>(width, x + at, weight, mean[r], rstd[r], gy + at, gx + at,
                                         of_weight, of_bias);
    }
    if (summed && held) {
      each_run<n, team>(width, [&](int64_t i) {
        store_run(gweight + p * width + i, load_run<n>(of_weight + i));
        store_run(gbias + p * width + i, load_run<n>(of_bias + i));
      });
    }
  }
}

/// Adds up the pieces of each example, in their order: a thread has one column of gweight and of
/// gbias.
template <class W>
__global__ void layernorm_pieces_kernel(int64_t examples, int64_t chunks, int64_t width,
                                        const W* parts_weight, const W* parts_bias, W* gweight,
                                        W* gbias) {
  const int64_t column = matrix_column();
  if (column >= width) return;
  for (int64_t e = matrix_row(); e < examples; e += matrix_row_step()) {
    W of_weight = 0, of_bias = 0;
    MINNOW_UNROLL_BY(4)
    for (int64_t p = e * chunks; p < (e + 1) * chunks; ++p) {
      of_weight += parts_weight[p * width + column];
      of_bias += parts_bias[p * width + column];
    }
    gweight[e * width + column] = of_weight;
    gbias[e * width + column] = of_bias;
  }
}

}  // namespace

template <class T>
void layernorm_backward(int64_t examples, int64_t rows, int64_t width, const T* x,
                        const Wide<T>* weight, const Wide<T>* mean, const Wide<T>* rstd,
                        const T* gy, T* gx, Wide<T>* gweight, Wide<T>* gbias) {
  using W = Wide<T>;
  if (examples == 0) return;
  const Pieces pieces = pieces_of(examples, rows / examples);
  const bool summed = gweight != nullptr && gbias != nullptr;
  const bool parts = summed && pieces.chunks > 1;
  const int64_t count = examples * pieces.chunks, size = parts ? count * width : 0;
  const int64_t bytes = static_cast<int64_t>(sizeof(W)) * size;
  const Scratch parts_weight(bytes), parts_bias(bytes);
  W* const to_weight = parts ? parts_weight.as<W>() : summed ? gweight : nullptr;
  W* const to_bias = parts ? parts_bias.as<W>() : summed ? gbias : nullptr;
  const auto start = [=](auto run, auto team, unsigned) {
    constexpr int n = run, lanes = team;
    // Four warps a block leave its shared memory below what two blocks of a multiprocessor have.
    constexpr int threads = lanes == warp_lanes ? 4 * warp_lanes : lanes;
    constexpr int64_t most_shared = 96 * 1024;
    const int64_t sums = summed ? threads / lanes * 2 * width * int64_t{sizeof(W)} : 0;
    const bool held = sums <= most_shared;
    MINNOW_LAUNCH(grid_for(count, threads / lanes), threads, held ? sums : 0,
                  layernorm_backward_kernel<T, n, lanes>, pieces, width, x, weight, mean, rstd, gy,
                  gx, to_weight, to_bias, held);
  };
  with_teams<T>(count, width, start, x, weight, gy, gx, to_weight, to_bias);
  if (!parts) return;
  MINNOW_LAUNCH(matrix_grid(examples, width), matrix_block, 0, layernorm_pieces_kernel<W>, examples,
                pieces.chunks, width, to_weight, to_bias, gweight, gbias);
}

#define MINNOW_INSTANTIATE(T)                                                                 \
  template void layernorm_forward<T>(int64_t, int64_t, Wide<T>, const T*, const Wide<T>*,     \
                                     const Wide<T>*, T*, Wide<T>*, Wide<T>*);                 \
  template void layernorm_backward<T>(int64_t, int64_t, int64_t, const T*, const Wide<T>*,    \
                                      const Wide<T>*, const Wide<T>*, const T*, T*, Wide<T>*, \
                                      Wide<T>*);
MINNOW_INSTANTIATE(float)
MINNOW_INSTANTIATE(double)
MINNOW_INSTANTIATE(bfloat16)
#undef MINNOW_INSTANTIATE

}  // namespace minnow::cuda
