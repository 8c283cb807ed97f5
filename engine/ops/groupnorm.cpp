#include "kernels/groupnorm.h"

#include "engine/ops.h"
#include "engine/param_grad.h"
#include "kernels/launch.h"

namespace minnow {

Var groupnorm(const Var& x, int64_t groups, const Parameter* weight, const Parameter* bias,
              double eps) {
  check(x.value().rank() >= 2, "groupnorm: x must be [B, C, rest...]; got {}",
        to_string(x.shape()));
  const int64_t batch = x.dim(0), channels = x.dim(1);
  check(groups > 0 && channels > 0 && channels % groups == 0,
        "groupnorm: C = {} must be divisible by groups; got {}", channels, groups);
  for (const Parameter* p : {weight, bias}) {
    check(p == nullptr || p->value.shape() == Shape{channels},
          "groupnorm: weight and bias must be [C] with C = {}, the input's second axis; got {}",
          channels, p == nullptr ? "" : to_string(p->value.shape()));
  }
  const GroupNormShape shape{.batch = batch,
                             .channels = channels,
                             .groups = groups,
                             .inner = batch == 0 ? 0 : x.value().numel() / (batch * channels)};
  Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
  Tensor mean = Tensor::empty({batch, groups}, wide(x.dtype()), x.device());
  Tensor rstd = Tensor::empty({batch, groups}, wide(x.dtype()), x.device());
  const Tensor w = weight == nullptr ? Tensor() : weight->value;
  dispatch_float("groupnorm", x, [&](auto zero) {
    using T = decltype(zero);
    MINNOW_KERNEL(x.device(), groupnorm_forward<T>)
    (shape, static_cast<Wide<T>>(eps), x.value().data<T>(),
     w.defined() ? w.data<Wide<T>>() : nullptr,
     bias == nullptr ? nullptr : bias->value.data<Wide<T>>(), y.data<T>(), mean.data<Wide<T>>(),
     rstd.data<Wide<T>>());
  });

  return x.tape().record(
      y, {x.slot()}, {weight, bias},
      [slot = x.slot(), saved = x.value(), mean, rstd, w, weight, bias, shape](Tensor gy,
                                                                               Backprop& back) {
        const Shape sums = {shape.batch, shape.channels};
        Tensor gx = gy.unique() ? gy : Tensor::empty(gy.shape(), gy.dtype(), gy.device());
        Tensor gw =
            Tensor::empty(sums, wide(gy.dtype()), gy.device());  // [B, C]: one sum an example
        Tensor gb = Tensor::empty(sums, wide(gy.dtype()), gy.device());  // [B, C]
        dispatch_float("groupnorm", gy, [&](auto zero) {
          using T = decltype(zero);
          MINNOW_KERNEL(gy.device(), groupnorm_backward<T>)
          (shape, saved.data<T>(), w.defined() ? w.data<Wide<T>>() : nullptr, mean.data<Wide<T>>(),
           rstd.data<Wide<T>>(), gy.data<T>(), gx.data<T>(), gw.data<Wide<T>>(),
           gb.data<Wide<T>>());
        });
        if (weight != nullptr && weight->trainable) back.give(*weight, row_sum(gw, shape.channels));
        if (bias != nullptr && bias->trainable) back.give(*bias, row_sum(gb, shape.channels));
        gy = Tensor();
        back.give(slot, std::move(gx));
      });
}

}  // namespace minnow
