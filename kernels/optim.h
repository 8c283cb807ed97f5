#pragma once

#include <cmath>
#include <cstdint>
#include <span>

#include "kernels/random.h"

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
  T rate = 1;            ///< its learning rate / that of the step
};

/// Constants of one step of SGD.
template <class T>
struct SgdStep {
  T lr = 0;
  T momentum = 0;
  bool nesterov = false;
};

/// Constants of one step of Adam. The rest follows from the number of the step, which only the
/// device knows: step_size = lr / (1 - beta1^t) and scale2 = 1 / sqrt(1 - beta2^t), computed in
/// float64 (adam_rates) and rounded to T.
template <class T>
struct AdamStep {
  T rest1 = 0;  ///< 1 - beta1, of the unrounded beta
  T beta2 = 0;
  T rest2 = 0;  ///< 1 - beta2
  T eps = 0;
  double lr = 0, log_beta1 = 0, log_beta2 = 0;
};

/// What decides on the device whether and as which a step is taken.
struct StepGate {
  const uint8_t* skip = nullptr;  ///< where it is not null and *skip is not 0, nothing changes
  int64_t* taken = nullptr;       ///< steps taken before this one; raised by one where it is taken
};

/// The two rates of Adam's step t, which counts from 1.
struct AdamRates {
  double step_size, scale2;
};
MINNOW_HOST_DEVICE inline AdamRates adam_rates(double lr, double log_beta1, double log_beta2,
                                               int64_t t) {
  // 1 - beta^t without the cancellation of its first steps; log_beta is the logarithm of beta.
  const double n = static_cast<double>(t);
  return {lr / -std::expm1(n * log_beta1), 1 / std::sqrt(-std::expm1(n * log_beta2))};
}

/// 1 - d_t of a running average's update t, which counts from 1, with d_t = min(decay, (1 + t) /
/// (10 + t)): the average forgets where it began. Source: TensorFlow's
/// tf.train.ExponentialMovingAverage, with the steps taken as its num_updates.
MINNOW_HOST_DEVICE inline double ema_rest(double decay, int64_t t) {
  const double rest = 1 - decay, first = 9 / (10 + static_cast<double>(t));
  return rest > first ? rest : first;
}

namespace cpu {

/// d = g + l2 p;  m = momentum m + d;  p = shrink p - rate lr (nesterov ? d + momentum m : m).
/// The tensors lie in host memory, what they point to on the device. All in one launch.
/// Without momentum m may be null, and p = shrink p - rate lr d.
template <class T>
void sgd(std::span<const OptimTensor<T>> tensors, const SgdStep<T>& step, const StepGate& gate);

/// d = g + l2 p;  m += rest1 (d - m);  v = beta2 v + rest2 d^2;
/// p = shrink p - rate step_size m / (scale2 sqrt(v) + eps).
/// Source: Kingma and Ba, "Adam", ICLR 2015; `shrink`: Loshchilov and Hutter, "Decoupled weight
/// decay regularization", ICLR 2019; eps outside the root and the order of operations as in
/// PyTorch.
template <class T>
void adam(std::span<const OptimTensor<T>> tensors, const AdamStep<T>& step, const StepGate& gate);

/// p += ema_rest(decay, t) (g - p), where p is the running average of a parameter and g that
/// parameter, t the steps taken with this one; m, v, l2, shrink and rate are not used.
template <class T>
void ema(std::span<const OptimTensor<T>> tensors, double decay, const StepGate& gate);

}  // namespace cpu

/// The same on arrays in device memory.
namespace cuda {

template <class T>
void sgd(std::span<const OptimTensor<T>> tensors, const SgdStep<T>& step, const StepGate& gate);
template <class T>
void adam(std::span<const OptimTensor<T>> tensors, const AdamStep<T>& step, const StepGate& gate);
template <class T>
void ema(std::span<const OptimTensor<T>> tensors, double decay, const StepGate& gate);

}  // namespace cuda
}  // namespace minnow
