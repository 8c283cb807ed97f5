#include "kernels/layernorm.h"

#include "engine/ops.h"
#include "engine/param_grad.h"
#include "kernels/launch.h"

namespace minnow {

Var layernorm(const Var& x, const Parameter* weight, const Parameter* bias, double eps) {
  check(x.value().rank() >= 2, "layernorm: x must be [..., D] with a leading example axis; got {}",
        to_string(x.shape()));
  const int64_t width = x.dim(-1), examples = x.dim(0);
  const int64_t rows = width == 0 ? 0 : x.value().numel() / width;
  for (const Parameter* p : {weight, bias}) {
    check(p == nullptr || p->value.shape() == Shape{width},
          "layernorm: weight and bias must be [D] with D = {}, the input's last axis; got {}",
          width, p == nullptr ? "" : to_string(p->value.shape()));
  }
  Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
  Tensor mean = Tensor::empty({rows}, wide(x.dtype()), x.device());
  Tensor rstd = Tensor::empty({rows}, wide(x.dtype()), x.device());
  const Tensor w = weight == nullptr ? Tensor() : weight->value;
  dispatch_float("layernorm", x, [&](auto zero) {
    using T = decltype(zero);
    MINNOW_KERNEL(x.device(), layernorm_forward<T>)
    (rows, width, static_cast<Wide<T>>(eps), x.value().data<T>(),
     w.defined() ? w.data<Wide<T>>() : nullptr,
     bias == nullptr ? nullptr : bias->value.data<Wide<T>>(), y.data<T>(), mean.data<Wide<T>>(),
     rstd.data<Wide<T>>());
  });

  return x.tape().record(
      y, {x.slot()}, {weight, bias},
      [slot = x.slot(), saved = x.value(), mean, rstd, w, weight, bias, examples, rows, width](
          Tensor gy, Backprop& back) {
        const bool weight_wanted = weight != nullptr && weight->trainable;
        const bool bias_wanted = bias != nullptr && bias->trainable;
        const bool summed = weight_wanted || bias_wanted;
        const Shape sums = {summed ? examples : 0, width};
        Tensor gx = gy.unique() ? gy : Tensor::empty(gy.shape(), gy.dtype(), gy.device());
        Tensor gw =
            Tensor::empty(sums, wide(gy.dtype()), gy.device());  // [B, D]: one sum an example
        Tensor gb = Tensor::empty(sums, wide(gy.dtype()), gy.device());  // [B, D]
        dispatch_float("layernorm", gy, [&](auto zero) {
          using T = decltype(zero);
          MINNOW_KERNEL(gy.device(), layernorm_backward<T>)
          (examples, rows, width, saved.data<T>(), w.defined() ? w.data<Wide<T>>() : nullptr,
           mean.data<Wide<T>>(), rstd.data<Wide<T>>(), gy.data<T>(), gx.data<T>(),
           summed ? gw.data<Wide<T>>() : nullptr, summed ? gb.data<Wide<T>>() : nullptr);
        });
        if (weight_wanted) back.give(*weight, row_sum(gw, width));
        if (bias_wanted) back.give(*bias, row_sum(gb, width));
        gy = Tensor();
        back.give(slot, std::move(gx));
      });
}

}  // namespace minnow
