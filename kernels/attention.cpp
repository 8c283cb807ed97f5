#include "kernels/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/elementwise.h"
#include "kernels/gemm.h"
#include "kernels/launch.h"

namespace minnow::cpu {
namespace {

/// Scores that one block of queries may have, so that they stay in the second-level cache.
constexpr int64_t block_scores = 65536;

/// Scores between the rows of a block of `keys` scores: whole vectors, so that no loop has a rest.
int64_t padded(int64_t keys) {
  return (keys + 7) / 8 * 8;
}

/// One (example, head) pair: where its rows begin in the packed arrays, and how many of them are
/// real.
struct Head {
  int64_t qkv, out, lse;
  int64_t rows;
};

/// What all heads share.
template <class T>
struct Plan {
  explicit Plan(const AttentionShape& s, const int64_t* lengths)
      : shape(s),
        lengths(lengths),
        width(s.heads * s.head_dim),
        row(3 * width),
        block(std::clamp<int64_t>(block_scores / std::max<int64_t>(s.tokens, 1), 32,
                                  std::max<int64_t>(s.tokens, 32))),
        scale(T(1) / std::sqrt(static_cast<T>(s.head_dim))) {}

  Head head(int64_t i) const {
    const int64_t b = i / shape.heads, h = i % shape.heads;
    return {.qkv = b * shape.tokens * row + h * shape.head_dim,
            .out = b * shape.tokens * width + h * shape.head_dim,
            .lse = i * shape.tokens,
            .rows = lengths == nullptr ? shape.tokens : lengths[b]};
  }
  /// Keys that the queries [begin, end) read.
  int64_t keys(const Head& head, int64_t end) const { return shape.causal ? end : head.rows; }
  /// Keys that query i of them reads.
  int64_t visible(int64_t i, int64_t keys) const { return shape.causal ? i + 1 : keys; }

  AttentionShape shape;
  const int64_t* lengths;
  int64_t width;  ///< of a row of the output
  int64_t row;    ///< of a row of qkv
  int64_t block;  ///< queries at a time
  T scale;
};

/// Zeroes columns [0, n) of the rows [begin, end).
template <class T>
void zero_rows(int64_t begin, int64_t end, int64_t stride, int64_t n, T* x) {
  for (int64_t r = begin; r < end; ++r) std::fill_n(x + r * stride, n, T(0));
}

/// Turns a row of `padded` scores into probabilities, 0 for the keys that are not visible; returns
/// the logarithm of the sum of e^s.
template <class T>
T softmax_row(int64_t visible, int64_t padded, T* s) {
  std::fill(s + visible, s + padded, -std::numeric_limits<T>::infinity());
  T most = s[0];
#pragma omp simd reduction(max : most)
  for (int64_t j = 0; j < padded; ++j) most = s[j] > most ? s[j] : most;
  T sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t j = 0; j < padded; ++j) {
    s[j] = fast_exp(s[j] - most);
    sum += s[j];
  }
  const T inverse = T(1) / sum;
#pragma omp simd
  for (int64_t j = 0; j < padded; ++j) s[j] *= inverse;
  return most + std::log(sum);
}

template <class T>
void forward_head(const Plan<T>& plan, const Head& head, const T* qkv, T* o, T* lse, T* scores) {
  const int64_t d = plan.shape.head_dim, row = plan.row, width = plan.width;
  const T *q = qkv + head.qkv, *k = q + width, *v = k + width;
  o += head.out;
  lse += head.lse;
  for (int64_t begin = 0; begin < head.rows; begin += plan.block) {
    const int64_t end = std::min(begin + plan.block, head.rows), n = end - begin;
    const int64_t keys = plan.keys(head, end), ld = padded(keys);
    T* out = o + begin * width;
    gemm(Op::none, Op::transpose, n, keys, d, plan.scale, q + begin * row, row, k, row, T(0),
         scores, ld);
    for (int64_t i = 0; i < n; ++i) {
      lse[begin + i] = softmax_row(plan.visible(begin + i, keys), ld, scores + i * ld);
    }
    gemm(Op::none, Op::none, n, d, keys, T(1), scores, ld, v, row, T(0), out, width);
  }
  zero_rows(head.rows, plan.shape.tokens, width, d, o);
  std::fill(lse + head.rows, lse + plan.shape.tokens, T(0));
}

/// Turns one row of scores into probabilities p and of dp into the gradient of the unscaled scores.
template <class T>
void backward_row(int64_t visible, int64_t padded, T lse, T delta, T scale, T* p, T* dp) {
  std::fill(p + visible, p + padded, -std::numeric_limits<T>::infinity());
  std::fill(dp + visible, dp + padded, T(0));  // whatever a masked key holds, also NaN
#pragma omp simd
  for (int64_t j = 0; j < padded; ++j) {
    const T probability = fast_exp(p[j] - lse);
    p[j] = probability;
    dp[j] = probability * (dp[j] - delta) * scale;
  }
}

template <class T>
void backward_head(const Plan<T>& plan, const Head& head, const T* qkv, const T* o, const T* lse,
                   const T* go, T* gqkv, T* p, T* dp) {
  const int64_t d = plan.shape.head_dim, row = plan.row, width = plan.width;
  const T *q = qkv + head.qkv, *k = q + width, *v = k + width;
  T *gq = gqkv + head.qkv, *gk = gq + width, *gv = gk + width;
  // Last block first: under `causal` too it reads every key, so that it may overwrite gk and gv and
  // the others add.
  const int64_t blocks = (head.rows + plan.block - 1) / plan.block;
  for (int64_t b = blocks - 1; b >= 0; --b) {
    const int64_t begin = b * plan.block, end = std::min(begin + plan.block, head.rows);
    const int64_t n = end - begin, keys = plan.keys(head, end), ld = padded(keys);
    const T* qb = q + begin * row;
    const T* ob = o + head.out + begin * width;
    const T* gob = go + head.out + begin * width;
    const T beta = b == blocks - 1 ? T(0) : T(1);
    gemm(Op::none, Op::transpose, n, keys, d, plan.scale, qb, row, k, row, T(0), p, ld);
    gemm(Op::none, Op::transpose, n, keys, d, T(1), gob, width, v, row, T(0), dp, ld);
    for (int64_t i = 0; i < n; ++i) {
      T delta = 0;
#pragma omp simd reduction(+ : delta)
      for (int64_t j = 0; j < d; ++j) delta += gob[i * width + j] * ob[i * width + j];
      backward_row(plan.visible(begin + i, keys), ld, lse[head.lse + begin + i], delta, plan.scale,
                   p + i * ld, dp + i * ld);
    }
    gemm(Op::none, Op::none, n, d, keys, T(1), dp, ld, k, row, T(0), gq + begin * row, row);
    gemm(Op::transpose, Op::none, keys, d, n, T(1), dp, ld, qb, row, beta, gk, row);
    gemm(Op::transpose, Op::none, keys, d, n, T(1), p, ld, gob, width, beta, gv, row);
  }
  for (T* g : {gq, gk, gv}) zero_rows(head.rows, plan.shape.tokens, row, d, g);
}

/// Calls f(head, scratch) for every head; scratch holds `arrays` blocks of scores.
template <class T, class F>
void for_each_head(const Plan<T>& plan, int64_t arrays, F f) {
  const int64_t scores = std::min(plan.block, plan.shape.tokens) * padded(plan.shape.tokens);
  parallel_for(plan.shape.batch * plan.shape.heads, 1, [&](int64_t begin, int64_t end) {
    std::vector<T> scratch(static_cast<size_t>(arrays * scores));
    for (int64_t i = begin; i < end; ++i) f(plan.head(i), scratch.data(), scores);
  });
}

}  // namespace

template <class T>
void attention_forward(const AttentionShape& shape, const int64_t* lengths, const T* qkv, T* o,
                       Wide<T>* lse) {
  const Plan<T> plan(shape, lengths);
  for_each_head(plan, 1, [&](const Head& head, T* scratch, int64_t) {
    forward_head(plan, head, qkv, o, lse, scratch);
  });
}

template <class T>
void attention_backward(const AttentionShape& shape, const int64_t* lengths, const T* qkv,
                        const T* o, const Wide<T>* lse, const T* go, T* gqkv) {
  const Plan<T> plan(shape, lengths);
  for_each_head(plan, 2, [&](const Head& head, T* scratch, int64_t scores) {
    backward_head(plan, head, qkv, o, lse, go, gqkv, scratch, scratch + scores);
  });
}

#define MINNOW_INSTANTIATE(T)                                                                    \
  template void attention_forward<T>(const AttentionShape&, const int64_t*, const T*, T*, T*);   \
  template void attention_backward<T>(const AttentionShape&, const int64_t*, const T*, const T*, \
                                      const T*, const T*, T*);
MINNOW_INSTANTIATE(float)
MINNOW_INSTANTIATE(double)
#undef MINNOW_INSTANTIATE

}  // namespace minnow::cpu
