#include "kernels/transpose.h"

#include "engine/ops.h"
#include "kernels/launch.h"

namespace minnow {
namespace {

Tensor transposed(const Tensor& x) {
  Tensor y = Tensor::empty({x.dim(0), x.dim(2), x.dim(1)}, x.dtype(), x.device());
  dispatch_float("transpose", x, [&](auto zero) {
    using T = decltype(zero);
    MINNOW_KERNEL(x.device(), transpose<T>)
    (x.dim(0), x.dim(1), x.dim(2), x.data<T>(), y.data<T>());
  });
  return y;
}

}  // namespace

Var transpose(const Var& x) {
  check(x.value().rank() == 3, "transpose: x must be [B, M, N]; got {}", to_string(x.shape()));
  return x.tape().record(
      transposed(x.value()), {x.slot()}, {},
      [slot = x.slot()](Tensor gy, Backprop& back) { back.give(slot, transposed(gy)); });
}

}  // namespace minnow
