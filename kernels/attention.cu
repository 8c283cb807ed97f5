#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <type_traits>

#include "kernels/attention.h"
#include "kernels/attention_tile.h"
#include "kernels/elementwise.h"
#include "kernels/lengths.h"

/// Fused attention in tiles. Source: Dao, "FlashAttention-2", ICLR 2024, algorithms 1 and 2.
/// Scores never leave the chip: forward makes 4 T^2 Dh flops a head of them, reads q once and k and
/// v once for every tile of queries (mostly from the second-level cache), and writes o and lse
/// once. Backward makes the scores and their gradients twice, 14 T^2 Dh flops a head where 10 are
/// needed, in exchange for which every sum has one owner and one order, and nothing is added
/// atomically. `causal` halves both.
///
/// A block is 64 threads and owns one tile of 32 tokens of one head: queries in the forward pass
/// and for gq, keys for gk and gv. The other side's tiles pass by. Small tiles waste little where T
/// is small (65 tokens are 3 tiles) and leave room for other blocks on the multiprocessor, whose
/// products hide this one's loads.
namespace minnow::cuda {
namespace {

template <class T>
struct Attention {
  AttentionShape shape;
  const int64_t* lengths;
  const T* qkv;
  int64_t tiles;  ///< of a head
  bool packed;    ///< every token's columns of a head are whole packs
  Wide<T> scale;
};

/// The block's own tile: of which head, where the head's tokens lie, and which they are.
struct Place {
  int64_t qkv, out, lse;  ///< the head's first token in each array
  int64_t row, width;     ///< elements between tokens of qkv and of o
  int64_t length;         ///< tokens of the head that are not masked
  int64_t begin;          ///< the tile's first token
  int rows, live;         ///< the tile's tokens, and those of them that are not masked
};

/// Tokens of the tile that begins at `first` and ends at `end` or before.
__device__ inline int tokens_until(int64_t end, int64_t first, int tile_rows) {
  const int64_t n = end - first;
  return static_cast<int>(n < 0 ? 0 : (n < tile_rows ? n : tile_rows));
}

template <class T>
__device__ Place place_of(const Attention<T>& a, int tile_rows) {
  const AttentionShape& s = a.shape;
  const int64_t head = blockIdx.x / a.tiles, b = head / s.heads, h = head % s.heads;
  const int64_t width = s.heads * s.head_dim, begin = blockIdx.x % a.tiles * tile_rows;
  const int64_t length = live_tokens(a.lengths, b, s.tokens);
  return {.qkv = b * s.tokens * 3 * width + h * s.head_dim,
          .out = b * s.tokens * width + h * s.head_dim,
          .lse = head * s.tokens,
          .row = 3 * width,
          .width = width,
          .length = length,
          .begin = begin,
          .rows = tokens_until(s.tokens, begin, tile_rows),
          .live = tokens_until(length, begin, tile_rows)};
}

/// One thread's part of the running softmax. `sum` covers the thread's own columns; `most`, the
/// largest score so far, is the same for the threads of a row.
template <class W, int D>
struct Softmax {
  W most[Tile<W, D>::own], sum[Tile<W, D>::own];
  typename Tile<W, D>::Columns o;
};

/// Takes a tile of scores in: p = e^(score - largest), and what was added up before the largest
/// changed shrinks by e^(former - largest). The first tile shows a key to every query, so that the
/// largest is a number from then on. Keys from `keys` on are masked; queries and keys count from
/// the first key of the tile.
template <class W, int D>
__device__ void fold_scores(W scale, bool causal, int64_t query, int keys,
                            typename Tile<W, D>::Scores& s, Softmax<W, D>& running, W* p) {
  using L = Tile<W, D>;
  MINNOW_UNROLL
  for (int m = 0; m < L::own; ++m) {
    const int row = tile_y() + m * tile_side;
    W most = running.most[m];
    for (int n = 0; n < L::own; ++n) {
      const int key = tile_x() + n * tile_side;
      const bool visible = key < keys && (!causal || key <= query + row);
      s[m][n] = visible ? s[m][n] * scale : -std::numeric_limits<W>::infinity();
      most = s[m][n] > most ? s[m][n] : most;
    }
    most = row_max(most);
    const W shrink = fast_exp(running.most[m] - most);
    running.most[m] = most;
    running.sum[m] *= shrink;
    for (int n = 0; n < L::own_columns; ++n) running.o[m][n] *= shrink;
    for (int n = 0; n < L::own; ++n) {
      const W probability = fast_exp(s[m][n] - most);
      running.sum[m] += probability;
      p[row * L::score_stride + tile_x() + n * tile_side] = probability;
    }
  }
}

/// Divides by the sums, which is left to the end, and writes the tile of o (through shared memory,
/// for whole rows at a time) and of lse.
template <class T, int D>
__device__ void finish_softmax(const Attention<T>& a, const Place& at, Softmax<Wide<T>, D>& running,
                               Wide<T>* tile, T* o, Wide<T>* lse) {
  using W = Wide<T>;
  using L = Tile<W, D>;
  for (int m = 0; m < L::own; ++m) {
    const int row = tile_y() + m * tile_side;
    const W sum = row_sum(running.sum[m]), inverse = W(1) / sum;
    for (int n = 0; n < L::own_columns; ++n) running.o[m][n] *= inverse;
    if (tile_x() == 0 && row < at.rows) {
      lse[at.lse + at.begin + row] = row < at.live ? running.most[m] + std::log(sum) : W(0);
    }
  }
  __syncthreads();  // `tile` has been read
  gather_tile<W, D>(running.o, tile);
  __syncthreads();
  store_tile<T, D>(tile, at.rows, at.live, static_cast<int>(a.shape.head_dim), a.packed, at.width,
                   o + at.out + at.begin * at.width);
}

template <class T, int D>
__global__ void attention_forward_kernel(Attention<T> a, T* o, Wide<T>* lse) {
  using W = Wide<T>;
  using L = Tile<W, D>;
  W* q = dynamic_shared<W>();
  W *k = q + L::size, *v = k + L::size, *p = v + L::size;
  const Place at = place_of(a, L::rows);
  const int width = static_cast<int>(a.shape.head_dim);
  const T* keys = a.qkv + at.qkv + at.width;
  load_tile<T, D>(a.qkv + at.qkv + at.begin * at.row, at.row, at.live, width, a.packed, q);

  Softmax<W, D> running = {};
  for (W& most : running.most) most = -std::numeric_limits<W>::infinity();
  const int64_t end = at.live == 0 ? 0 : (a.shape.causal ? at.begin + at.live : at.length);
  for (int64_t first = 0; first < end; first += L::rows) {
    const int live = tokens_until(end, first, L::rows);
    const T* from = keys + first * at.row;
    __syncthreads();  // the last tiles have been read
    load_tile<T, D>(from, at.row, live, width, a.packed, k);
    load_tile<T, D>(from + at.width, at.row, live, width, a.packed, v);
    __syncthreads();
    typename L::Scores s = {};
    multiply_nt<W, D>(whole_packs<W>(width), q, k, s);
    fold_scores<W, D>(a.scale, a.shape.causal, at.begin - first, live, s, running, p);
    __syncthreads();
    multiply_nn<W, D>(whole_packs<W>(live), p, v, running.o);
  }
  finish_softmax<T, D>(a, at, running, q, o, lse);
}

/// delta [B, H, T] = rowsum(go o), 8 threads for each token of a head, which with packs of bfloat16
/// read 64 columns at once; masked tokens are not read. Moves go and o once, for 2 flops an
/// element.
template <class T, int n>
__global__ void attention_delta_kernel(AttentionShape s, const int64_t* lengths, const T* o,
                                       const T* go, Wide<T>* delta) {
  const int64_t rows = s.batch * s.tokens * s.heads, step = int64_t{gridDim.x} * tile_side;
  for (int64_t first = int64_t{blockIdx.x} * tile_side; first < rows; first += step) {
    const int64_t i = first + tile_y(), h = i % s.heads, t = i / s.heads % s.tokens;
    const int64_t b = i / s.heads / s.tokens;
    Wide<T> sum = 0;
    if (i < rows && (lengths == nullptr || t < lengths[b])) {
      for (int64_t c = tile_x() * n; c < s.head_dim; c += tile_side * n) {
        const auto x = load_wide<n>(go + i * s.head_dim + c);
        const auto y = load_wide<n>(o + i * s.head_dim + c);
        for (int k = 0; k < n; ++k) sum += x.v[k] * y.v[k];
      }
    }
    sum = row_sum(sum);  // every thread of the warp is here
    if (i < rows && tile_x() == 0) delta[(b * s.heads + h) * s.tokens + t] = sum;
  }
}

/// What both backward kernels read besides qkv.
template <class T>
struct Saved {
  const T* go;
  const Wide<T>*lse, *delta;
};

/// From one score and dp = go v^T: the probability, and the gradient of the unscaled score.
template <class W>
struct ScoreGradient {
  __device__ ScoreGradient(bool visible, W scale, W score, W lse, W dp, W delta)
      : p(visible ? fast_exp(score * scale - lse) : W(0)),
        ds(visible ? p * (dp - delta) * scale : W(0)) {}
  W p, ds;
};

/// gq of the block's queries = sum over the keys of ds k.
template <class T, int D>
__global__ void attention_backward_q_kernel(Attention<T> a, Saved<T> saved, T* gqkv) {
  using W = Wide<T>;
  using L = Tile<W, D>;
  W* q = dynamic_shared<W>();
  W *go = q + L::size, *k = go + L::size, *v = k + L::size, *ds = v + L::size;
  const Place at = place_of(a, L::rows);
  const int width = static_cast<int>(a.shape.head_dim), depth = whole_packs<W>(width);
  const T* keys = a.qkv + at.qkv + at.width;
  load_tile<T, D>(a.qkv + at.qkv + at.begin * at.row, at.row, at.live, width, a.packed, q);
  load_tile<T, D>(saved.go + at.out + at.begin * at.width, at.width, at.live, width, a.packed, go);

  W lse[L::own], delta[L::own];
  for (int m = 0; m < L::own; ++m) {
    const int row = tile_y() + m * tile_side;
    lse[m] = row < at.live ? saved.lse[at.lse + at.begin + row] : W(0);
    delta[m] = row < at.live ? saved.delta[at.lse + at.begin + row] : W(0);
  }
  typename L::Columns gq = {};
  const int64_t end = at.live == 0 ? 0 : (a.shape.causal ? at.begin + at.live : at.length);
  for (int64_t first = 0; first < end; first += L::rows) {
    const int live = tokens_until(end, first, L::rows);
    const T* from = keys + first * at.row;
    __syncthreads();  // the last tiles have been read
    load_tile<T, D>(from, at.row, live, width, a.packed, k);
    load_tile<T, D>(from + at.width, at.row, live, width, a.packed, v);
    __syncthreads();
    typename L::Scores s = {}, dp = {};
    multiply_nt<W, D>(depth, q, k, s);
    multiply_nt<W, D>(depth, go, v, dp);
    MINNOW_UNROLL
    for (int m = 0; m < L::own; ++m) {
      const int row = tile_y() + m * tile_side;
      MINNOW_UNROLL
      for (int n = 0; n < L::own; ++n) {
        const int key = tile_x() + n * tile_side;
        const bool visible =
            row < at.live && key < live && (!a.shape.causal || first + key <= at.begin + row);
        const ScoreGradient<W> g(visible, a.scale, s[m][n], lse[m], dp[m][n], delta[m]);
        ds[row * L::score_stride + key] = g.ds;
      }
    }
    __syncthreads();
    multiply_nn<W, D>(whole_packs<W>(live), ds, k, gq);
  }
  __syncthreads();
  gather_tile<W, D>(gq, q);
  __syncthreads();
  store_tile<T, D>(q, at.rows, at.live, width, a.packed, at.row, gqkv + at.qkv + at.begin * at.row);
}

/// gk of the block's keys = sum over the queries of ds^T q, gv = sum of p^T go. The scores are
/// formed transposed, so that all products have the same two forms.
template <class T, int D>
__global__ void attention_backward_kv_kernel(Attention<T> a, Saved<T> saved, T* gqkv) {
  using W = Wide<T>;
  using L = Tile<W, D>;
  W* k = dynamic_shared<W>();
  W *v = k + L::size, *q = v + L::size, *go = q + L::size;
  W *p = go + L::size, *ds = p + L::score_size;
  const Place at = place_of(a, L::rows);
  const int width = static_cast<int>(a.shape.head_dim), depth = whole_packs<W>(width);
  const T* own = a.qkv + at.qkv + at.begin * at.row + at.width;
  load_tile<T, D>(own, at.row, at.live, width, a.packed, k);
  load_tile<T, D>(own + at.width, at.row, at.live, width, a.packed, v);

  typename L::Columns gk = {}, gv = {};
  const int64_t end = at.live == 0 ? 0 : at.length;
  for (int64_t first = a.shape.causal ? at.begin : 0; first < end; first += L::rows) {
    const int live = tokens_until(end, first, L::rows);
    __syncthreads();  // the last tiles have been read
    load_tile<T, D>(a.qkv + at.qkv + first * at.row, at.row, live, width, a.packed, q);
    load_tile<T, D>(saved.go + at.out + first * at.width, at.width, live, width, a.packed, go);
    __syncthreads();
    typename L::Scores s = {}, dp = {};
    multiply_nt<W, D>(depth, k, q, s);
    multiply_nt<W, D>(depth, v, go, dp);
    MINNOW_UNROLL
    for (int n = 0; n < L::own; ++n) {
      const int query = tile_x() + n * tile_side;
      const W lse = query < live ? saved.lse[at.lse + first + query] : W(0);
      const W delta = query < live ? saved.delta[at.lse + first + query] : W(0);
      MINNOW_UNROLL
      for (int m = 0; m < L::own; ++m) {
        const int row = tile_y() + m * tile_side;
        const bool visible =
            row < at.live && query < live && (!a.shape.causal || at.begin + row <= first + query);
        const ScoreGradient<W> g(visible, a.scale, s[m][n], lse, dp[m][n], delta);
        p[row * L::score_stride + query] = g.p;
        ds[row * L::score_stride + query] = g.ds;
      }
    }
    __syncthreads();
    multiply_nn<W, D>(whole_packs<W>(live), p, go, gv);
    multiply_nn<W, D>(whole_packs<W>(live), ds, q, gk);
  }
  __syncthreads();
  gather_tile<W, D>(gk, q);
  gather_tile<W, D>(gv, go);
  __syncthreads();
  T* to = gqkv + at.qkv + at.begin * at.row + at.width;
  store_tile<T, D>(q, at.rows, at.live, width, a.packed, at.row, to);
  store_tile<T, D>(go, at.rows, at.live, width, a.packed, at.row, to + at.width);
}

/// Calls f(std::integral_constant<int, D>) with the least D of the tiles that holds a head.
template <class F>
void with_head_dim(int64_t head_dim, F f) {
  if (head_dim <= 32) {
    f(std::integral_constant<int, 32>());
  } else if (head_dim <= 64) {
    f(std::integral_constant<int, 64>());
  } else if (head_dim <= 128) {
    f(std::integral_constant<int, 128>());
  } else if (head_dim <= 256) {
    f(std::integral_constant<int, 256>());
  } else {
    throw DeviceError("attention: a head may have at most 256 columns on a CUDA device; got " +
                      std::to_string(head_dim));
  }
}

template <class T, class... P>
Attention<T> attention_of(const AttentionShape& shape, const int64_t* lengths, int tile_rows,
                          const T* qkv, const P*... others) {
  const auto width = static_cast<Wide<T>>(std::max<int64_t>(shape.head_dim, 1));
  return {.shape = shape,
          .lengths = lengths,
          .qkv = qkv,
          .tiles = ceil_div(shape.tokens, tile_rows),
          .packed = packs<T>(shape.head_dim, qkv, others...),
          .scale = Wide<T>(1) / std::sqrt(width)};
}

/// One block for each tile of each head.
template <class T>
unsigned grid_of(const Attention<T>& a) {
  return static_cast<unsigned>(a.shape.batch * a.shape.heads * a.tiles);
}

}  // namespace

template <class T>
void attention_forward(const AttentionShape& shape, const int64_t* lengths, const T* qkv, T* o,
                       Wide<T>* lse) {
  using W = Wide<T>;
  with_head_dim(shape.head_dim, [&](auto columns) {
    constexpr int D = columns;
    using L = Tile<W, D>;
    const Attention<T> a = attention_of(shape, lengths, L::rows, qkv, o);
    const int64_t shared = (3 * L::size + L::score_size) * sizeof(W);
    MINNOW_LAUNCH(grid_of(a), tile_threads, shared, attention_forward_kernel<T, D>, a, o, lse);
  });
}

template <class T>
void attention_backward(const AttentionShape& shape, const int64_t* lengths, const T* qkv,
                        const T* o, const Wide<T>* lse, const T* go, T* gqkv) {
  using W = Wide<T>;
  const int64_t rows = shape.batch * shape.heads * shape.tokens;
  const Scratch scratch(rows * static_cast<int64_t>(sizeof(W)));
  W* delta = scratch.as<W>();
  const Saved<T> saved{go, lse, delta};
  const auto rows_of_delta = [&](auto run) {
    MINNOW_LAUNCH(grid_for(rows, tile_side), tile_threads, 0, attention_delta_kernel<T, run>, shape,
                  lengths, o, go, delta);
  };
  with_runs<Pack<T>::size>(shape.head_dim, rows_of_delta, o, go);
  with_head_dim(shape.head_dim, [&](auto columns) {
    constexpr int D = columns;
    using L = Tile<W, D>;
    const Attention<T> a = attention_of(shape, lengths, L::rows, qkv, go, gqkv);
    const int64_t tiles = 4 * L::size * sizeof(W), scores = L::score_size * sizeof(W);
    MINNOW_LAUNCH(grid_of(a), tile_threads, tiles + scores, attention_backward_q_kernel<T, D>, a,
                  saved, gqkv);
    MINNOW_LAUNCH(grid_of(a), tile_threads, tiles + 2 * scores, attention_backward_kv_kernel<T, D>,
                  a, saved, gqkv);
  });
}

#define MINNOW_INSTANTIATE(T)                                                                    \
  template void attention_forward<T>(const AttentionShape&, const int64_t*, const T*, T*,        \
                                     Wide<T>*);                                                  \
  template void attention_backward<T>(const AttentionShape&, const int64_t*, const T*, const T*, \
                                      const Wide<T>*, const T*, T*);
MINNOW_INSTANTIATE(float)
MINNOW_INSTANTIATE(double)
MINNOW_INSTANTIATE(bfloat16)
#undef MINNOW_INSTANTIATE

}  // namespace minnow::cuda
