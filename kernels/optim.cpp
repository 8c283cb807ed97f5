#include "kernels/optim.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/launch.h"

namespace minnow::cpu {
namespace {

/// Calls f(tensor, begin, end) for blocks that cover all tensors, shared among the threads as one
/// list: many small tensors wake the threads once. A block begins at the same element whatever the
/// number of threads, so that the split into vector code and remainder, and with it every bit, does
/// not depend on it.
template <class T, class F>
void for_each_block(std::span<const OptimTensor<T>> tensors, F f) {
  constexpr int64_t block = 4096;
  std::vector<int64_t> first = {0};  // tensor i owns blocks first[i] .. first[i + 1]
  for (const OptimTensor<T>& t : tensors) first.push_back(first.back() + (t.n + block - 1) / block);
  parallel_for(first.back(), element_grain / block, [&](int64_t begin, int64_t end) {
    auto i = std::upper_bound(first.begin(), first.end(), begin) - first.begin() - 1;
    for (int64_t b = begin; b < end; ++b) {
      while (b >= first[i + 1]) ++i;
      const int64_t offset = (b - first[i]) * block;
      f(tensors[i], offset, std::min(offset + block, tensors[i].n));
    }
  });
}

}  // namespace

template <class T>
void sgd(std::span<const OptimTensor<T>> tensors, const SgdStep<T>& step, const StepGate& gate) {
  if (gate.skip != nullptr && *gate.skip != 0) return;
  ++*gate.taken;
  const T momentum = step.momentum;
  // Of d and the new m, how much of each moves p.
  const T of_d = step.nesterov ? 1 : 0, of_m = step.nesterov ? momentum : 1;
  for_each_block(tensors, [=](const OptimTensor<T>& t, int64_t begin, int64_t end) {
    const T l2 = t.l2, shrink = t.shrink, lr = t.rate * step.lr;
    T *p = t.p, *m = t.m;
    const T* g = t.g;
    if (m == nullptr) {
#pragma omp simd
      for (int64_t i = begin; i < end; ++i) p[i] = shrink * p[i] - lr * (g[i] + l2 * p[i]);
      return;
    }
#pragma omp simd
    for (int64_t i = begin; i < end; ++i) {
      const T d = g[i] + l2 * p[i];
      m[i] = momentum * m[i] + d;
      p[i] = shrink * p[i] - lr * (of_d * d + of_m * m[i]);
    }
  });
}

template <class T>
void adam(std::span<const OptimTensor<T>> tensors, const AdamStep<T>& step, const StepGate& gate) {
  if (gate.skip != nullptr && *gate.skip != 0) return;
  const AdamRates rates = adam_rates(step.lr, step.log_beta1, step.log_beta2, ++*gate.taken);
  const T step_size = static_cast<T>(rates.step_size), scale2 = static_cast<T>(rates.scale2);
  for_each_block(tensors, [=](const OptimTensor<T>& t, int64_t begin, int64_t end) {
    const AdamStep<T> s = step;
    const T l2 = t.l2, shrink = t.shrink, size = t.rate * step_size;
    T *p = t.p, *m = t.m, *v = t.v;
    const T* g = t.g;
#pragma omp simd
    for (int64_t i = begin; i < end; ++i) {
      const T d = g[i] + l2 * p[i];
      m[i] += s.rest1 * (d - m[i]);
      v[i] = s.beta2 * v[i] + s.rest2 * d * d;
      p[i] = shrink * p[i] - size * m[i] / (scale2 * std::sqrt(v[i]) + s.eps);
    }
  });
}

template <class T>
void ema(std::span<const OptimTensor<T>> tensors, double decay, const StepGate& gate) {
  if (gate.skip != nullptr && *gate.skip != 0) return;
  const T rest = static_cast<T>(ema_rest(decay, ++*gate.taken));
  for_each_block(tensors, [=](const OptimTensor<T>& t, int64_t begin, int64_t end) {
    T* p = t.p;
    const T* g = t.g;
#pragma omp simd
    for (int64_t i = begin; i < end; ++i) p[i] += rest * (g[i] - p[i]);
  });
}

#define MINNOW_INSTANTIATE(T)                                                                  \
  template void sgd<T>(std::span<const OptimTensor<T>>, const SgdStep<T>&, const StepGate&);   \
  template void adam<T>(std::span<const OptimTensor<T>>, const AdamStep<T>&, const StepGate&); \
  template void ema<T>(std::span<const OptimTensor<T>>, double, const StepGate&);
MINNOW_INSTANTIATE(float)
MINNOW_INSTANTIATE(double)
#undef MINNOW_INSTANTIATE

}  // namespace minnow::cpu
