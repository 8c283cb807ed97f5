#include "kernels/softmax.h"

#include "engine/ops.h"
#include "kernels/launch.h"

namespace minnow {
namespace {

/// Either function over the last axis; the derivative is taken from y. `log`: log_softmax.
template <bool log>
Var over_last_axis(std::string_view name, const Var& x) {
  check(x.value().rank() >= 2, "{}: x must be [..., N] with a leading example axis; got {}", name,
        to_string(x.shape()));
  const int64_t width = x.dim(-1), rows = width == 0 ? 0 : x.value().numel() / width;
  Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
  dispatch_float(name, x, [&](auto zero) {
    using T = decltype(zero);
    const T* in = x.value().data<T>();
    if constexpr (log) {
      MINNOW_KERNEL(x.device(), log_softmax_forward<T>)(rows, width, in, y.data<T>());
    } else {
      MINNOW_KERNEL(x.device(), softmax_forward<T>)(rows, width, in, y.data<T>());
    }
  });
  return x.tape().record(
      y, {x.slot()}, {}, [slot = x.slot(), y, rows, width](Tensor gy, Backprop& back) {
        Tensor gx = gy.unique() ? gy : Tensor::empty(gy.shape(), gy.dtype(), gy.device());
        dispatch_float("softmax", gy, [&](auto zero) {
          using T = decltype(zero);
          const T *out = y.data<T>(), *g = gy.data<T>();
          if constexpr (log) {
            MINNOW_KERNEL(gy.device(), log_softmax_backward<T>)(rows, width, out, g, gx.data<T>());
          } else {
            MINNOW_KERNEL(gy.device(), softmax_backward<T>)(rows, width, out, g, gx.data<T>());
          }
        });
        gy = Tensor();
        back.give(slot, std::move(gx));
      });
}

}  // namespace

Var softmax(const Var& x) {
  return over_last_axis<false>("softmax", x);
}
Var log_softmax(const Var& x) {
  return over_last_axis<true>("log_softmax", x);
}

}  // namespace minnow
