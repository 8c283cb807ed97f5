#include "kernels/linear.h"

#include "engine/ops.h"
#include "engine/param_grad.h"
#include "kernels/launch.h"

namespace minnow {

Var linear(const Var& x, const Parameter& weight, const Parameter* bias) {
  check(x.value().rank() >= 2, "linear: x must be [..., in] with a leading example axis; got {}",
        to_string(x.shape()));
  const int64_t in = x.dim(-1);
  Tensor w = weight.value.to(x.dtype());
  Shape matrix = w.shape();
  while (matrix.size() > 2 && matrix.back() == 1) matrix.pop_back();
  w = w.reshape(matrix);
  check(w.rank() == 2 && w.dim(1) == in,
        "linear: weight must be [out, in] with in = {}, the input's last axis; got {}", in,
        to_string(weight.value.shape()));
  const int64_t out = w.dim(0), rows = x.value().numel() / std::max<int64_t>(in, 1);
  check(bias == nullptr || bias->value.shape() == Shape{out}, "linear: bias must be [{}]; got {}",
        out, bias == nullptr ? "" : to_string(bias->value.shape()));
  Shape shape = x.shape();
  shape.back() = out;
  Tensor y = Tensor::empty(shape, x.dtype(), x.device());  // [..., out]
  dispatch_float("linear", x, [&](auto zero) {
    using T = decltype(zero);
    MINNOW_KERNEL(x.device(), linear_forward<T>)
    (rows, in, out, x.value().data<T>(), w.data<T>(),
     bias == nullptr ? nullptr : bias->value.data<Wide<T>>(), y.data<T>());
  });

  return x.tape().record(
      y, {x.slot()}, {&weight, bias},
      // x itself is read by the weight's gradient only
      [slot = x.slot(), shape = x.shape(), saved = weight.trainable ? x.value() : Tensor(), w,
       &weight, bias, rows, in, out](Tensor gy, Backprop& back) {
        if (weight.trainable) back.give(weight, outer_product(saved, gy));
        if (bias != nullptr && bias->trainable) back.give(*bias, row_sum(gy, out));
        if (!slot.wanted()) return;
        Tensor gx = Tensor::empty(shape, gy.dtype(), gy.device());  // [..., in]
        dispatch_float("linear", gy, [&](auto zero) {
          using T = decltype(zero);
          MINNOW_KERNEL(gy.device(), linear_backward<T>)
          (rows, in, out, gy.data<T>(), w.data<T>(), gx.data<T>());
        });
        back.give(slot, std::move(gx));
      });
}

}  // namespace minnow
