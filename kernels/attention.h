#pragma once

#include <cstdint>

#include "kernels/bfloat16.h"

namespace minnow {

/// Sizes of multi-head attention over qkv [B, T, 3 H Dh], packed as [3, H, Dh] in the last axis.
struct AttentionShape {
  int64_t batch = 0, tokens = 0, heads = 0, head_dim = 0;
  bool causal = false;  ///< a query sees the keys up to its own position
};

namespace cpu {

/// o [B, T, H Dh] = softmax(q k^T / sqrt(Dh)) v for each example and head, read in place from the
/// packed qkv. lengths [B], each in [0, T], or null: keys at and after an example's length are
/// masked and queries there give 0. Overwrites o; saves lse [B, H, T], the logarithm of each
/// query's sum of exponentials (0 at and after the length). The scores are formed for a block of
/// queries at a time and never written out.
template <class T>
void attention_forward(const AttentionShape& shape, const int64_t* lengths, const T* qkv, T* o,
                       Wide<T>* lse);

/// Overwrites gqkv [B, T, 3 H Dh], with 0 at and after an example's length. The probabilities P =
/// exp(s - lse) are computed again: dS = P (dP - rowsum(go o)) with dP = go v^T. Source: Dao et
/// al., "FlashAttention", NeurIPS 2022, section 3.
template <class T>
void attention_backward(const AttentionShape& shape, const int64_t* lengths, const T* qkv,
                        const T* o, const Wide<T>* lse, const T* go, T* gqkv);

}  // namespace cpu

/// The same on arrays in device memory.
namespace cuda {

template <class T>
void attention_forward(const AttentionShape& shape, const int64_t* lengths, const T* qkv, T* o,
                       Wide<T>* lse);
template <class T>
void attention_backward(const AttentionShape& shape, const int64_t* lengths, const T* qkv,
                        const T* o, const Wide<T>* lse, const T* go, T* gqkv);

}  // namespace cuda
}  // namespace minnow
