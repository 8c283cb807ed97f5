#pragma once

#include <cstdint>

#include "kernels/random.h"

namespace minnow::cpu {

/// y = x / (1 - p) where u >= p, else 0, with u = RandomKey{key.seed, key.stream, key.step,
/// ids[e]}.uniform(i) for element i of example e: the mask of an example is the same in every
/// batch, and found again from the key. x, y [examples, width]; ids null: examples 0 .. examples -
/// 1; 0 <= p < 1. What is dropped is not read. Overwrites y, which may be x; the backward pass is
/// the same function on gy. Source: Srivastava et al., "Dropout: a simple way to prevent neural
/// networks from overfitting", JMLR 2014.
template <class T>
void dropout(int64_t examples, int64_t width, RandomKey key, const int64_t* ids, double p,
             const T* x, T* y);

/// The same with one u = uniform(0) for all elements of an example.
/// Source: Huang et al., "Deep networks with stochastic depth", ECCV 2016.
template <class T>
void drop_path(int64_t examples, int64_t width, RandomKey key, const int64_t* ids, double p,
               const T* x, T* y);

}  // namespace minnow::cpu

/// The same on arrays in device memory.
namespace minnow::cuda {

template <class T>
void dropout(int64_t examples, int64_t width, RandomKey key, const int64_t* ids, double p,
             const T* x, T* y);
template <class T>
void drop_path(int64_t examples, int64_t width, RandomKey key, const int64_t* ids, double p,
               const T* x, T* y);

}  // namespace minnow::cuda
