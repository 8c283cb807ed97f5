#include "kernels/mask_tokens.h"

#include "engine/lengths.h"
#include "engine/ops.h"
#include "kernels/launch.h"

namespace minnow {
namespace {

/// In place where nobody else sees x.
Tensor masked(const Tensor& lengths, Tensor x) {
  const Tensor y = x.unique() ? x : Tensor::empty(x.shape(), x.dtype(), x.device());
  const int64_t rows = x.dim(0) * x.dim(1);
  dispatch_float("mask_tokens", x, [&](auto zero) {
    using T = decltype(zero);
    MINNOW_KERNEL(x.device(), mask_tokens<T>)
    (x.dim(0), x.dim(1), rows == 0 ? 0 : x.numel() / rows, lengths.data<int64_t>(), x.data<T>(),
     y.data<T>());
  });
  return y;
}

}  // namespace

Var mask_tokens(const Var& x, const Tensor& lengths) {
  check(x.value().rank() >= 2, "mask_tokens: x must be [B, T, ...]; got {}", to_string(x.shape()));
  check_lengths("mask_tokens", lengths, x.dim(0), x.dim(1));
  const Tensor own = lengths.to(x.device());
  return x.tape().record(masked(own, x.value()), {x.slot()}, {},
                         [slot = x.slot(), own](Tensor gy, Backprop& back) {
                           back.give(slot, masked(own, std::move(gy)));
                         });
}

Tensor window_counts(const Tensor& lengths, int64_t kernel, int64_t stride) {
  check(lengths.dtype() == DType::int64, "window_counts: lengths must be int64; got {}",
        to_string(lengths.dtype()));
  check(kernel >= 1 && stride >= 1, "window_counts: kernel and stride must be positive; got {}, {}",
        kernel, stride);
  const Tensor counts = Tensor::empty(lengths.shape(), DType::int64, lengths.device());
  MINNOW_ON(lengths.device(), window_counts)
  (lengths.numel(), kernel, stride, lengths.data<int64_t>(), counts.data<int64_t>());
  return counts;
}

}  // namespace minnow
