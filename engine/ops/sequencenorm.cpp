#include "kernels/sequencenorm.h"

#include "engine/lengths.h"
#include "engine/ops.h"
#include "engine/param_grad.h"
#include "kernels/launch.h"

namespace minnow {

Var sequencenorm(const Var& x, const Tensor& lengths, const Parameter& weight,
                 const Parameter& bias, double eps) {
  check(x.value().rank() == 3, "sequencenorm: x must be [B, T, C]; got {}", to_string(x.shape()));
  const SequenceShape shape{.batch = x.dim(0), .frames = x.dim(1), .channels = x.dim(2)};
  for (const Parameter* p : {&weight, &bias}) {
    check(p->value.shape() == Shape{shape.channels},
          "sequencenorm: weight and bias must be [C] with C = {}, the input's last axis; got {}",
          shape.channels, to_string(p->value.shape()));
  }
  if (lengths.defined()) check_lengths("sequencenorm", lengths, shape.batch, shape.frames);
  const Tensor ends = lengths.defined() ? lengths.to(x.device()) : Tensor();
  const auto places = [](const Tensor& t) { return t.defined() ? t.data<int64_t>() : nullptr; };
  Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
  Tensor mean = Tensor::empty({shape.batch}, wide(x.dtype()), x.device());
  Tensor rstd = Tensor::empty({shape.batch}, wide(x.dtype()), x.device());
  dispatch_float("sequencenorm", x, [&](auto zero) {
    using T = decltype(zero);
    MINNOW_KERNEL(x.device(), sequencenorm_forward<T>)
    (shape, places(ends), static_cast<Wide<T>>(eps), x.value().data<T>(),
     weight.value.data<Wide<T>>(), bias.value.data<Wide<T>>(), y.data<T>(), mean.data<Wide<T>>(),
     rstd.data<Wide<T>>());
  });

  return x.tape().record(
      y, {x.slot()}, {&weight, &bias},
      [slot = x.slot(), saved = x.value(), w = weight.value, mean, rstd, ends, places, &weight,
       &bias, shape](Tensor gy, Backprop& back) {
        const Shape sums = {shape.batch, shape.channels};
        Tensor gx = gy.unique() ? gy : Tensor::empty(gy.shape(), gy.dtype(), gy.device());
        Tensor gw =
            Tensor::empty(sums, wide(gy.dtype()), gy.device());  // [B, C]: one sum an example
        Tensor gb = Tensor::empty(sums, wide(gy.dtype()), gy.device());  // [B, C]
        dispatch_float("sequencenorm", gy, [&](auto zero) {
          using T = decltype(zero);
          MINNOW_KERNEL(gy.device(), sequencenorm_backward<T>)
          (shape, places(ends), saved.data<T>(), w.data<Wide<T>>(), mean.data<Wide<T>>(),
           rstd.data<Wide<T>>(), gy.data<T>(), gx.data<T>(), gw.data<Wide<T>>(),
           gb.data<Wide<T>>());
        });
        back.give(weight, row_sum(gw, shape.channels));
        back.give(bias, row_sum(gb, shape.channels));
        gy = Tensor();
        back.give(slot, std::move(gx));
      });
}

}  // namespace minnow
