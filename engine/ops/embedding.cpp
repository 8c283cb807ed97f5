#include "kernels/embedding.h"

#include "engine/ops.h"
#include "engine/param_grad.h"
#include "kernels/launch.h"

namespace minnow {

Var embedding(Tape& tape, const Tensor& ids, const Parameter& weight) {
  const Tensor w = weight.value;
  check(w.rank() == 2, "embedding: weight must be [V, D]; got {}", to_string(w.shape()));
  check(ids.dtype() == DType::int64 && ids.rank() >= 1,
        "embedding: ids must be [B, ...] int64; got {} {}", to_string(ids.dtype()),
        to_string(ids.shape()));
  const int64_t vocabulary = w.dim(0), width = w.dim(1), rows = ids.numel();
  // Ids that are on a GPU already are not looked at: there a wrong one gives a row of NaN.
  for (int64_t r = 0; ids.device().is_cpu() && r < rows; ++r) {
    const int64_t id = ids.data<int64_t>()[r];
    check(id >= 0 && id < vocabulary,
          "embedding: ids must lie in [0, V) with V = {}; got {} at position {}", vocabulary, id,
          r);
  }
  const Tensor placed = ids.to(w.device());
  Shape shape = ids.shape();
  shape.push_back(width);
  Tensor y = Tensor::empty(shape, w.dtype(), w.device());  // [B, ..., D]
  dispatch_wide("embedding", w, [&](auto zero) {
    using T = decltype(zero);
    MINNOW_ON(w.device(), embedding_forward<T>)
    (rows, width, vocabulary, placed.data<int64_t>(), w.data<T>(), y.data<T>());
  });
  return tape.record(y, {}, {&weight}, [placed, &weight](Tensor gy, Backprop& back) {
    back.give(weight, scatter_rows(placed, std::move(gy)));
  });
}

}  // namespace minnow
