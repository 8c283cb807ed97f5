#include "kernels/unary.h"

#include "engine/ops.h"
#include "kernels/launch.h"

namespace minnow {
namespace {

/// y = F(x) element by element; the derivative is taken from x.
template <class F>
Var unary(std::string_view name, const Var& x) {
  Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
  dispatch_float(name, x, [&](auto zero) {
    using T = decltype(zero);
    MINNOW_KERNEL(x.device(), unary_forward<F, T>)
    (y.numel(), x.value().data<T>(), y.data<T>());
  });
  return x.tape().record(
      y, {x.slot()}, {}, [slot = x.slot(), saved = x.value()](Tensor gy, Backprop& back) {
        Tensor gx = gy.unique() ? gy : Tensor::empty(gy.shape(), gy.dtype(), gy.device());
        dispatch_float("unary", gy, [&](auto zero) {
          using T = decltype(zero);
          MINNOW_KERNEL(gy.device(), unary_backward<F, T>)
          (gy.numel(), saved.data<T>(), gy.data<T>(), gx.data<T>());
        });
        gy = Tensor();
        back.give(slot, std::move(gx));
      });
}

}  // namespace

Var relu(const Var& x) {
  return unary<Relu>("relu", x);
}
Var gelu(const Var& x) {
  return unary<Gelu>("gelu", x);
}
Var gelu_tanh(const Var& x) {
  return unary<GeluTanh>("gelu_tanh", x);
}
Var silu(const Var& x) {
  return unary<Silu>("silu", x);
}
Var sigmoid(const Var& x) {
  return unary<Sigmoid>("sigmoid", x);
}

}  // namespace minnow
