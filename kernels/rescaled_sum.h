#pragma once

#include <cstdint>

/// From the gradients of groups and their coefficients to the update.
namespace minnow::cpu {

/// sum [n] = sum_j c[j] x[j, :] + beta * sum over the rows of x [groups, n]; rows with c[j] = 0 are
/// not read. Reads every group's gradient once: 4 n (groups + 1) bytes in float32.
template <class T>
void rescaled_sum(int64_t groups, int64_t n, const T* x, const double* c, T beta, T* sum);

/// products [groups, groups] += X X^T for X [groups, n]: all inner products of group gradients.
/// Accumulates.
template <class T>
void gram(int64_t groups, int64_t n, const T* x, double* products);

}  // namespace minnow::cpu

/// The same on arrays in device memory.
namespace minnow::cuda {

template <class T>
void rescaled_sum(int64_t groups, int64_t n, const T* x, const double* c, T beta, T* sum);
template <class T>
void gram(int64_t groups, int64_t n, const T* x, double* products);

}  // namespace minnow::cuda
