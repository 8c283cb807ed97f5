#include "kernels/depthwise_conv1d.h"

#include "engine/ops.h"
#include "engine/param_grad.h"
#include "kernels/launch.h"

namespace minnow {

Var depthwise_conv1d(const Var& x, const Parameter& weight, const Parameter* bias) {
  check(x.value().rank() == 3, "depthwise_conv1d: x must be [B, T, C]; got {}",
        to_string(x.shape()));
  const int64_t channels = x.dim(2);
  const Tensor w = weight.value;
  check(w.rank() == 3 && w.dim(0) == channels && w.dim(1) == 1 && w.dim(2) % 2 == 1,
        "depthwise_conv1d: weight must be [C, 1, k] with C = {}, the last axis of x, and k odd; "
        "got {}",
        channels, to_string(w.shape()));
  check(bias == nullptr || bias->value.shape() == Shape{channels},
        "depthwise_conv1d: bias must be [{}]; got {}", channels,
        bias == nullptr ? "" : to_string(bias->value.shape()));
  const DepthwiseShape shape{
      .batch = x.dim(0), .frames = x.dim(1), .channels = channels, .kernel = w.dim(2)};
  Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
  dispatch_float("depthwise_conv1d", x, [&](auto zero) {
    using T = decltype(zero);
    MINNOW_KERNEL(x.device(), depthwise_conv1d_forward<T>)
    (shape, x.value().data<T>(), w.data<Wide<T>>(),
     bias == nullptr ? nullptr : bias->value.data<Wide<T>>(), y.data<T>());
  });

  const bool summed = weight.trainable || (bias != nullptr && bias->trainable);
  return x.tape().record(
      y, {x.slot()}, {&weight, bias},
      // x itself is read by the parameters' gradients only
      [slot = x.slot(), saved = summed ? x.value() : Tensor(), w, &weight, bias, summed, shape](
          Tensor gy, Backprop& back) {
        const int64_t examples = summed ? shape.batch : 0;
        const DType sums = wide(gy.dtype());
        // One sum an example: [B, C, k] and [B, C]
        Tensor gw = Tensor::empty({examples, shape.channels, shape.kernel}, sums, gy.device());
        Tensor gb = Tensor::empty({examples, shape.channels}, sums, gy.device());
        Tensor gx = Tensor::empty(slot.wanted() ? gy.shape() : Shape{0}, gy.dtype(), gy.device());
        dispatch_float("depthwise_conv1d", gy, [&](auto zero) {
          using T = decltype(zero);
          if (summed) {
            MINNOW_KERNEL(gy.device(), depthwise_conv1d_sums<T>)
            (shape, saved.data<T>(), gy.data<T>(), gw.data<Wide<T>>(), gb.data<Wide<T>>());
          }
          if (slot.wanted()) {
            MINNOW_KERNEL(gy.device(), depthwise_conv1d_backward<T>)
            (shape, gy.data<T>(), w.data<Wide<T>>(), gx.data<T>());
          }
        });
        if (summed) back.give(weight, row_sum(gw, shape.channels * shape.kernel));
        if (summed && bias != nullptr) back.give(*bias, row_sum(gb, shape.channels));
        back.give(slot, std::move(gx));
      });
}

}  // namespace minnow
