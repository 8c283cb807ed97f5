#include "engine/ops.h"

namespace minnow {

Var reshape(const Var& x, Shape shape) {
  check(x.value().rank() >= 1 && !shape.empty() && shape[0] == x.dim(0),
        "reshape: the leading axis is the example and must stay as it is in {}; got {}",
        to_string(x.shape()), to_string(shape));
  return x.tape().record(x.value().reshape(std::move(shape)), {x.slot()}, {},
                         [slot = x.slot(), shape = x.shape()](Tensor gy, Backprop& back) {
                           Tensor gx = gy.reshape(shape);
                           gy = Tensor();
                           back.give(slot, std::move(gx));
                         });
}

}  // namespace minnow
