#pragma once

#include <cstdint>

namespace minnow::cpu {

/// y[r, :] = weight[ids[r], :] for each of `rows` rows of `width`; weight [vocabulary, width]. A
/// row whose id lies outside of the table is NaN. Overwrites y. The gradient of the weight is the
/// form behind scatter_rows.
template <class T>
void embedding_forward(int64_t rows, int64_t width, int64_t vocabulary, const int64_t* ids,
                       const T* weight, T* y);

}  // namespace minnow::cpu

/// The same on arrays in device memory.
namespace minnow::cuda {

template <class T>
void embedding_forward(int64_t rows, int64_t width, int64_t vocabulary, const int64_t* ids,
                       const T* weight, T* y);

}  // namespace minnow::cuda
