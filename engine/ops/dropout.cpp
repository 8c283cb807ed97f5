#include "kernels/dropout.h"

#include "engine/ops.h"
#include "kernels/launch.h"

namespace minnow {
namespace {

/// All that names a mask; found again from it in the backward pass, so that no mask is kept.
struct Mask {
  RandomKey key;
  Tensor ids;  ///< [B] int64, or undefined: 0 .. B-1
  double p;
  int64_t examples, width;
};

enum class Kind { elements, examples };

template <Kind kind>
void apply(std::string_view name, const Mask& mask, const Tensor& x, const Tensor& y) {
  dispatch_float(name, x, [&](auto zero) {
    using T = decltype(zero);
    const int64_t* ids = mask.ids.defined() ? mask.ids.data<int64_t>() : nullptr;
    if constexpr (kind == Kind::elements) {
      MINNOW_KERNEL(x.device(), dropout<T>)
      (mask.examples, mask.width, mask.key, ids, mask.p, x.data<T>(), y.data<T>());
    } else {
      MINNOW_KERNEL(x.device(), drop_path<T>)
      (mask.examples, mask.width, mask.key, ids, mask.p, x.data<T>(), y.data<T>());
    }
  });
}

template <Kind kind>
Var drop(std::string_view name, const Var& x, double p) {
  check(p >= 0 && p < 1, "{}: p must lie in [0, 1); got {}", name, p);
  check(x.value().rank() >= 1, "{}: x needs a leading example axis; got a scalar", name);
  // Counted even where nothing is dropped: the masks of one layer do not depend on the rate of
  // another.
  const uint32_t stream = x.tape().next_stream();
  const RandomContext& random = x.tape().random();
  if (p == 0 || !random.training) return x;
  const int64_t examples = x.dim(0);
  check(!random.example_ids.defined() || random.example_ids.shape() == Shape{examples},
        "{}: the tape's example_ids must be [B] = [{}]; got {}", name, examples,
        to_string(random.example_ids.shape()));
  const Mask mask{{.seed = random.seed, .stream = stream, .step = random.step},
                  random.example_ids.defined() ? random.example_ids.to(x.device()) : Tensor(),
                  p,
                  examples,
                  x.value().numel() / std::max<int64_t>(examples, 1)};
  Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
  apply<kind>(name, mask, x.value(), y);
  return x.tape().record(y, {x.slot()}, {}, [slot = x.slot(), mask](Tensor gy, Backprop& back) {
    Tensor gx = gy.unique() ? gy : Tensor::empty(gy.shape(), gy.dtype(), gy.device());
    apply<kind>("dropout", mask, gy, gx);
    gy = Tensor();
    back.give(slot, std::move(gx));
  });
}

}  // namespace

Var dropout(const Var& x, double p) {
  return drop<Kind::elements>("dropout", x, p);
}
Var drop_path(const Var& x, double p) {
  return drop<Kind::examples>("drop_path", x, p);
}

}  // namespace minnow
