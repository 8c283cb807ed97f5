#include "engine/ops.h"

namespace minnow {

Var convert(const Var& x, DType dtype) {
  if (x.dtype() == dtype) return x;
  return x.tape().record(x.value().to(dtype), {x.slot()}, {},
                         [slot = x.slot(), from = x.dtype()](Tensor gy, Backprop& back) {
                           back.give(slot, gy.to(from));
                         });
}

}  // namespace minnow
