#include "kernels/glu.h"

#include "engine/ops.h"
#include "kernels/launch.h"

namespace minnow {

Var glu(const Var& x) {
  check(x.value().rank() >= 2 && x.dim(-1) % 2 == 0,
        "glu: x must be [..., 2 C] with a leading example axis and an even last axis; got {}",
        to_string(x.shape()));
  const int64_t width = x.dim(-1) / 2, rows = width == 0 ? 0 : x.value().numel() / (2 * width);
  Shape shape = x.shape();
  shape.back() = width;
  Tensor y = Tensor::empty(shape, x.dtype(), x.device());  // [..., C]
  dispatch_float("glu", x, [&](auto zero) {
    using T = decltype(zero);
    MINNOW_KERNEL(x.device(), glu_forward<T>)(rows, width, x.value().data<T>(), y.data<T>());
  });
  return x.tape().record(
      y, {x.slot()}, {},
      [slot = x.slot(), saved = x.value(), rows, width](Tensor gy, Backprop& back) {
        Tensor gx = Tensor::empty(saved.shape(), gy.dtype(), gy.device());  // [..., 2 C]
        dispatch_float("glu", gy, [&](auto zero) {
          using T = decltype(zero);
          MINNOW_KERNEL(gy.device(), glu_backward<T>)
          (rows, width, saved.data<T>(), gy.data<T>(), gx.data<T>());
        });
        back.give(slot, std::move(gx));
      });
}

}  // namespace minnow
