#include "kernels/cross_entropy.h"

#include "engine/ops.h"
#include "kernels/launch.h"

namespace minnow {
namespace {

void check_inputs(const Var& logits, const Tensor& targets, double smoothing) {
  check(logits.value().rank() == 2 && logits.dim(1) > 0,
        "cross_entropy: logits must be [B, C] with C > 0; got {}", to_string(logits.shape()));
  check(smoothing >= 0 && smoothing <= 1, "cross_entropy: smoothing must lie in [0, 1]; got {}",
        smoothing);
  const int64_t examples = logits.dim(0), classes = logits.dim(1);
  if (targets.dtype() != DType::int64) {
    check(targets.dtype() == logits.dtype() && targets.shape() == logits.shape(),
          "cross_entropy: targets must be [B] int64 or {} {} like the logits; got {} {}",
          to_string(logits.dtype()), to_string(logits.shape()), to_string(targets.dtype()),
          to_string(targets.shape()));
    return;
  }
  check(targets.shape() == Shape{examples}, "cross_entropy: labels must be [B] = [{}]; got {}",
        examples, to_string(targets.shape()));
  if (targets.device().is_cuda()) return;  // the kernel gives a label out of range the loss NaN
  const int64_t* labels = targets.data<int64_t>();
  for (int64_t i = 0; i < examples; ++i) {
    check(labels[i] >= 0 && labels[i] < classes,
          "cross_entropy: labels must lie in [0, C) with C = {}; got {} at position {}", classes,
          labels[i], i);
  }
}

}  // namespace

Var cross_entropy(const Var& logits, const Tensor& targets, double smoothing) {
  check_inputs(logits, targets, smoothing);
  const Tensor placed = targets.to(logits.device());
  const int64_t examples = logits.dim(0), classes = logits.dim(1);
  const bool labels = targets.dtype() == DType::int64;
  Tensor losses = Tensor::empty({examples}, logits.dtype(), logits.device());
  Tensor p = Tensor::empty(logits.shape(), logits.dtype(), logits.device());  // [B, C]
  dispatch_wide("cross_entropy", logits, [&](auto zero) {
    using T = decltype(zero);
    const T s = static_cast<T>(smoothing);
    const T* x = logits.value().data<T>();
    if (labels) {
      MINNOW_ON(logits.device(), cross_entropy_forward<T>)
      (examples, classes, s, x, placed.data<int64_t>(), p.data<T>(), losses.data<T>());
    } else {
      MINNOW_ON(logits.device(), soft_cross_entropy_forward<T>)
      (examples, classes, s, x, placed.data<T>(), p.data<T>(), losses.data<T>());
    }
  });

  return logits.tape().record(
      losses, {logits.slot()}, {},
      [slot = logits.slot(), p, placed, smoothing, labels, examples, classes](
          Tensor gy, Backprop& back) mutable {
        dispatch_wide("cross_entropy", gy, [&](auto zero) {
          using T = decltype(zero);
          const T s = static_cast<T>(smoothing);
          T* gx =
              p.data<T>();  // nobody else reads the probabilities: the gradient takes their place
          if (labels) {
            MINNOW_ON(gy.device(), cross_entropy_backward<T>)
            (examples, classes, s, gx, placed.data<int64_t>(), gy.data<T>(), gx);
          } else {
            MINNOW_ON(gy.device(), soft_cross_entropy_backward<T>)
            (examples, classes, s, gx, placed.data<T>(), gy.data<T>(), gx);
          }
        });
        back.give(slot, std::move(p));
      });
}

}  // namespace minnow
