#pragma once

#include <cstdint>
#include <span>

namespace minnow {

/// One parameter of n elements as an optimizer step sees it.
template <class T>
struct OptimTensor {
  int64_t n = 0;
  T* p = nullptr;        ///< the parameter; read and overwritten
  const T* g = nullptr;  ///< its update, a gradient
  T* m = nullptr;        ///< first moment, or momentum; read and overwritten
  T* v = nullptr;        ///< second moment; read and overwritten
  T l2 = 0;              ///< the step sees g + l2 p
  T shrink = 1;          ///< p is multiplied by this first (decoupled decay)
};

/// Constants of one step of SGD.
template <class T>
struct SgdStep {
  T lr = 0;
  T momentum = 0;
  bool nesterov = false;
};

/// Constants of one step of Adam; t counts the steps from 1.
template <class T>
struct AdamStep {
  T rest1 = 0;  ///< 1 - beta1, of the unrounded beta
  T beta2 = 0;
  T rest2 = 0;      ///< 1 - beta2
  T step_size = 0;  ///< lr / (1 - beta1^t)
  T scale2 = 0;     ///< 1 / sqrt(1 - beta2^t)
  T eps = 0;
};

namespace cpu {

/// d = g + l2 p;  m = momentum m + d;  p = shrink p - lr (nesterov ? d + momentum m : m).
/// Without momentum m may be null, and p = shrink p - lr d.
template <class T>
void sgd(std::span<const OptimTensor<T>> tensors, const SgdStep<T>& step);

/// d = g + l2 p;  m += rest1 (d - m);  v = beta2 v + rest2 d^2;
/// p = shrink p - step_size m / (scale2 sqrt(v) + eps).
/// Source: Kingma and Ba, "Adam", ICLR 2015; `shrink`: Loshchilov and Hutter, "Decoupled weight
/// decay regularization", ICLR 2019; eps outside the root and the order of operations as in
/// PyTorch.
template <class T>
void adam(std::span<const OptimTensor<T>> tensors, const AdamStep<T>& step);

}  // namespace cpu
}  // namespace minnow
