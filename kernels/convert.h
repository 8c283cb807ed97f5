#pragma once

#include <cstdint>

#include "kernels/bfloat16.h"

namespace minnow::cpu {

/// y[i] = x[i] in another type, rounded to nearest where it is narrower. Overwrites y.
template <class From, class To>
void convert(int64_t n, const From* x, To* y);

/// x[i] = value. Overwrites x.
template <class T>
void fill(int64_t n, T value, T* x);

}  // namespace minnow::cpu

/// The same on arrays in device memory.
namespace minnow::cuda {

template <class From, class To>
void convert(int64_t n, const From* x, To* y);
template <class T>
void fill(int64_t n, T value, T* x);

}  // namespace minnow::cuda
