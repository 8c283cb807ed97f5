#pragma once

#include <cstdint>

#include "kernels/bfloat16.h"

namespace minnow::cpu {

/// y[i] = x[i] in another type, for every two of float, double, bfloat16, int64 and uint8, equal
/// ones too. Rounded to nearest where it is narrower, to bfloat16 by way of float; towards zero
/// where it is an integer, which must be able to hold it. Overwrites y.
template <class From, class To>
void convert(int64_t n, const From* x, To* y);

/// x[i] = value, for the same types. Overwrites x.
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

/// Calls X(From, To) for every two types that convert knows.
#define MINNOW_CONVERSIONS(X)          \
  MINNOW_CONVERSIONS_FROM(X, float)    \
  MINNOW_CONVERSIONS_FROM(X, double)   \
  MINNOW_CONVERSIONS_FROM(X, bfloat16) \
  MINNOW_CONVERSIONS_FROM(X, int64_t)  \
  MINNOW_CONVERSIONS_FROM(X, uint8_t)
#define MINNOW_CONVERSIONS_FROM(X, From) \
  X(From, float)                         \
  X(From, double)                        \
  X(From, bfloat16)                      \
  X(From, int64_t)                       \
  X(From, uint8_t)
