#pragma once

#include <cstdint>

namespace minnow::cpu {

/// y[e, j, i] = x[e, i, j] for `examples` matrices x [rows, columns]. Overwrites y, which must not
/// be x.
template <class T>
void transpose(int64_t examples, int64_t rows, int64_t columns, const T* x, T* y);

}  // namespace minnow::cpu

/// The same on arrays in device memory.
namespace minnow::cuda {

template <class T>
void transpose(int64_t examples, int64_t rows, int64_t columns, const T* x, T* y);

}  // namespace minnow::cuda
