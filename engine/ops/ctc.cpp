#include "kernels/ctc.h"

#include "engine/lengths.h"
#include "engine/ops.h"
#include "kernels/launch.h"

namespace minnow {
namespace {

CtcShape check_inputs(const Var& logits, const Tensor& lengths, const Tensor& targets,
                      const Tensor& target_lengths) {
  check(logits.value().rank() == 3 && logits.dim(2) > 0,
        "ctc_loss: logits must be [B, T, V] with V > 0; got {}", to_string(logits.shape()));
  const int64_t examples = logits.dim(0);
  check(targets.dtype() == DType::int64 && targets.rank() == 2 && targets.dim(0) == examples,
        "ctc_loss: targets must be [B, U] int64 with B = {}; got {} {}", examples,
        to_string(targets.shape()), to_string(targets.dtype()));
  const CtcShape shape{examples, logits.dim(1), logits.dim(2), targets.dim(1)};
  check_lengths("ctc_loss", lengths, examples, shape.frames);
  check_lengths("ctc_loss", target_lengths, examples, shape.labels, "target_lengths", "U");
  // What lies on a GPU is not read: the kernel gives an example out of range the loss NaN.
  if (targets.device().is_cuda() || target_lengths.device().is_cuda()) return shape;
  for (int64_t b = 0; b < examples; ++b) {
    for (int64_t i = 0; i < target_lengths.data<int64_t>()[b]; ++i) {
      const int64_t label = targets.data<int64_t>()[b * shape.labels + i];
      check(label > 0 && label < shape.classes,
            "ctc_loss: targets must lie in [1, V) with V = {}; got {} at position {} of example {}",
            shape.classes, label, i, b);
    }
  }
  return shape;
}

}  // namespace

Var ctc_loss(const Var& logits, const Tensor& lengths, const Tensor& targets,
             const Tensor& target_lengths) {
  const CtcShape shape = check_inputs(logits, lengths, targets, target_lengths);
  const Device device = logits.device();
  const Tensor frames = lengths.to(device), labels = targets.to(device),
               label_counts = target_lengths.to(device);
  Tensor losses = Tensor::empty({shape.batch}, logits.dtype(), device);
  // The gradient of each example's own loss [B, T, V]: smaller than what it is computed from.
  Tensor gx;
  if (logits.tape().recording() && logits.slot().wanted()) {
    gx = Tensor::empty(logits.shape(), logits.dtype(), device);
  }
  dispatch_wide("ctc_loss", logits, [&](auto zero) {
    using T = decltype(zero);
    MINNOW_ON(device, ctc_forward<T>)
    (shape, logits.value().data<T>(), frames.data<int64_t>(), labels.data<int64_t>(),
     label_counts.data<int64_t>(), losses.data<T>(), gx.defined() ? gx.data<T>() : nullptr);
  });
  return logits.tape().record(
      losses, {logits.slot()}, {},
      [slot = logits.slot(), gx, frames, shape](Tensor gy, Backprop& back) mutable {
        dispatch_wide("ctc_loss", gy, [&](auto zero) {
          using T = decltype(zero);
          MINNOW_ON(gy.device(), ctc_backward<T>)
          (shape, frames.data<int64_t>(), gy.data<T>(), gx.data<T>());
        });
        back.give(slot, std::move(gx));
      });
}

}  // namespace minnow
