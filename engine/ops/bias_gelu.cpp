#include "kernels/bias_gelu.h"

#include "engine/ops.h"
#include "engine/param_grad.h"
#include "kernels/launch.h"

namespace minnow {

Var bias_gelu(const Var& x, const Parameter& bias) {
  check(x.value().rank() >= 2 && bias.value.shape() == Shape{x.dim(-1)},
        "bias_gelu: bias must be [C] with C the last axis of x {}; got {}", to_string(x.shape()),
        to_string(bias.value.shape()));
  const int64_t width = x.dim(-1), rows = width == 0 ? 0 : x.value().numel() / width;
  Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
  dispatch_float("bias_gelu", x, [&](auto zero) {
    using T = decltype(zero);
    MINNOW_KERNEL(x.device(), bias_gelu_forward<T>)
    (rows, width, x.value().data<T>(), bias.value.data<Wide<T>>(), y.data<T>());
  });

  return x.tape().record(
      y, {x.slot()}, {&bias},
      [slot = x.slot(), saved = x.value(), &bias, rows, width](Tensor gy, Backprop& back) {
        Tensor gx = gy.unique() ? gy : Tensor::empty(gy.shape(), gy.dtype(), gy.device());
        dispatch_float("bias_gelu", gy, [&](auto zero) {
          using T = decltype(zero);
          MINNOW_KERNEL(gy.device(), bias_gelu_backward<T>)
          (rows, width, saved.data<T>(), bias.value.data<Wide<T>>(), gy.data<T>(), gx.data<T>());
        });
        gy = Tensor();
        if (bias.trainable) back.give(bias, row_sum(gx, width));
        back.give(slot, std::move(gx));
      });
}

}  // namespace minnow
