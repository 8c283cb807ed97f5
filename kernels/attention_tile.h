#pragma once

#include "kernels/device.h"

/// The tiles that attention.cu works on, and the seam behind which other arithmetic can be put:
/// everything that attention multiplies goes through multiply_nt and multiply_nn.
namespace minnow::cuda {

/// A block's 64 threads stand in a square of 8 x 8. Thread (y, x) owns the rows y + 8 m of every
/// product, so that the 8 threads of a row are neighbours in one warp and a row's softmax is three
/// shuffles.
inline constexpr int tile_side = 8;
inline constexpr int tile_threads = tile_side * tile_side;

__device__ inline int tile_y() {
  return static_cast<int>(threadIdx.x) / tile_side;
}
__device__ inline int tile_x() {
  return static_cast<int>(threadIdx.x) % tile_side;
}

/// Tiles of `rows` tokens with up to D columns of one head, and square tiles of scores, in shared
/// memory; fewer rows where D is so large that sums would not fit the registers, nor a float64 tile
/// the memory. Rows are 16 bytes longer than they need be: 8 threads that read 16 bytes each from 8
/// rows then reach all 32 banks once.
template <class W, int D>
struct Tile {
  static constexpr int rows = D <= 128 ? 32 : 16;
  static constexpr int pack = Pack<W>::size;
  static constexpr int stride = D + pack;
  static constexpr int size = rows * stride;
  static constexpr int score_stride = rows + pack;
  static constexpr int score_size = rows * score_stride;
  /// What one thread owns of a tile and of a tile of scores.
  static constexpr int own = rows / tile_side;
  static constexpr int own_columns = D / tile_side;

  using Scores = W[own][own];           ///< element (m, n): row y + 8 m, column x + 8 n
  using Columns = W[own][own_columns];  ///< row y + 8 m, columns in packs: see multiply_nn
};

/// The next multiple of a pack: products run over whole packs, whose rest is zeros.
template <class W>
__device__ inline int whole_packs(int n) {
  return (n + Pack<W>::size - 1) / Pack<W>::size * Pack<W>::size;
}

/// tile [rows, D] = `live` rows of `width` columns, `stride` elements apart; the rest is filled
/// with zeros and not read. `packed`: the rows can be read in packs.
template <class T, int D>
__device__ void load_tile(const T* from, int64_t stride, int live, int width, bool packed,
                          Wide<T>* tile) {
  using W = Wide<T>;
  using L = Tile<W, D>;
  constexpr int size = Pack<T>::size, a_row = D / size;
  for (int i = static_cast<int>(threadIdx.x); i < L::rows * a_row; i += tile_threads) {
    const int r = i / a_row, c = i % a_row * size;
    const T* place = from + r * stride + c;
    Pack<T> x{};
    if (packed) {
      if (r < live && c < width) x = load_pack(place);
    } else {
      for (int e = 0; e < size; ++e) {
        if (r < live && c + e < width) x.v[e] = place[e];
      }
    }
    for (int s = 0; s < size; s += L::pack) {
      Pack<W> y;
      for (int e = 0; e < L::pack; ++e) y.v[e] = widen(x.v[s + e]);
      store_pack(tile + r * L::stride + c + s, y);
    }
  }
}

/// Writes `rows` rows of `width` columns; those from `live` on are zeros.
template <class T, int D>
__device__ void store_tile(const Wide<T>* tile, int rows, int live, int width, bool packed,
                           int64_t stride, T* to) {
  using L = Tile<Wide<T>, D>;
  constexpr int size = Pack<T>::size, a_row = D / size;
  for (int i = static_cast<int>(threadIdx.x); i < rows * a_row; i += tile_threads) {
    const int r = i / a_row, c = i % a_row * size;
    T* place = to + r * stride + c;
    Pack<T> x{};
    for (int e = 0; e < size; ++e) {
      if (r < live) x.v[e] = narrow<T>(tile[r * L::stride + c + e]);
    }
    if (packed) {
      if (c < width) store_pack(place, x);
    } else {
      for (int e = 0; e < size; ++e) {
        if (c + e < width) place[e] = x.v[e];
      }
    }
  }
}

/// scores += a b^T over the first `depth` columns of two tiles; depth is a whole number of packs.
/// Of 4 columns (float) a thread reads 8 packs for 64 multiply-adds, and a warp's packs are one
/// wavefront of shared memory each: 8 cycles beside the 16 of the multiply-adds.
template <class W, int D>
__device__ void multiply_nt(int depth, const W* a, const W* b,
                            typename Tile<W, D>::Scores& scores) {
  using L = Tile<W, D>;
  a += tile_y() * L::stride;
  b += tile_x() * L::stride;
  for (int k = 0; k < depth; k += L::pack) {
    Pack<W> x[L::own], y[L::own];
    for (int m = 0; m < L::own; ++m) {
      x[m] = load_pack(a + m * tile_side * L::stride + k);
      y[m] = load_pack(b + m * tile_side * L::stride + k);
    }
    for (int e = 0; e < L::pack; ++e) {
      for (int m = 0; m < L::own; ++m) {
        for (int n = 0; n < L::own; ++n) scores[m][n] += x[m].v[e] * y[n].v[e];
      }
    }
  }
}

/// The column of a tile that element n of a thread's row is.
template <class W>
__device__ inline int tile_column(int n) {
  constexpr int pack = Pack<W>::size;
  return (tile_x() + n / pack * tile_side) * pack + n % pack;
}

/// sums += a b over the first `depth` columns of the scores a and rows of the tile b; depth is a
/// whole number of packs. With D = 64, 4 steps (float) read 12 packs for 128 multiply-adds.
template <class W, int D>
__device__ void multiply_nn(int depth, const W* a, const W* b, typename Tile<W, D>::Columns& sums) {
  using L = Tile<W, D>;
  a += tile_y() * L::score_stride;
  b += tile_x() * L::pack;
  for (int k = 0; k < depth; k += L::pack) {
    Pack<W> x[L::own];
    for (int m = 0; m < L::own; ++m) x[m] = load_pack(a + m * tile_side * L::score_stride + k);
    for (int e = 0; e < L::pack; ++e) {
      for (int n = 0; n < L::own_columns; n += L::pack) {
        const Pack<W> y = load_pack(b + (k + e) * L::stride + n * tile_side);
        for (int m = 0; m < L::own; ++m) {
          for (int c = 0; c < L::pack; ++c) sums[m][n + c] += x[m].v[e] * y.v[c];
        }
      }
    }
  }
}

/// tile = what the threads own of it.
template <class W, int D>
__device__ void gather_tile(const typename Tile<W, D>::Columns& owned, W* tile) {
  using L = Tile<W, D>;
  for (int m = 0; m < L::own; ++m) {
    W* row = tile + (tile_y() + m * tile_side) * L::stride;
    for (int n = 0; n < L::own_columns; ++n) row[tile_column<W>(n)] = owned[m][n];
  }
}

/// The sum (the largest) over the 8 threads of a row; all of them get it.
template <class W>
__device__ inline W row_sum(W value) {
  for (int step = tile_side / 2; step > 0; step /= 2) {
    value += __shfl_xor_sync(every_lane, value, step);
  }
  return value;
}
template <class W>
__device__ inline W row_max(W value) {
  for (int step = tile_side / 2; step > 0; step /= 2) {
    const W other = __shfl_xor_sync(every_lane, value, step);
    value = other > value ? other : value;
  }
  return value;
}

}  // namespace minnow::cuda
