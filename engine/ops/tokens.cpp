#include "kernels/tokens.h"

#include "engine/lengths.h"
#include "engine/ops.h"
#include "engine/param_grad.h"
#include "kernels/launch.h"

namespace minnow {
namespace {

void check_tokens(std::string_view name, const Var& x) {
  check(x.value().rank() == 3, "{}: x must be [B, T, D]; got {}", name, to_string(x.shape()));
}

/// `count` blocks of n elements out of x, from element x_first on, into y, from element y_first on.
void copy(std::string_view name, int64_t count, int64_t n, const Tensor& x, int64_t x_first,
          int64_t x_stride, const Tensor& y, int64_t y_first, int64_t y_stride) {
  dispatch_float(name, y, [&](auto zero) {
    using T = decltype(zero);
    MINNOW_KERNEL(y.device(), copy_blocks<T>)
    (count, n, x.data<T>() + x_first, x_stride, y.data<T>() + y_first, y_stride);
  });
}

}  // namespace

Var prepend_token(const Var& x, const Parameter& token) {
  check_tokens("prepend_token", x);
  const int64_t examples = x.dim(0), width = x.dim(2), block = x.dim(1) * width;
  const int64_t whole = block + width;  // one example of the result
  check(token.value.numel() == width && (token.value.rank() == 0 || token.value.dim(-1) == width),
        "prepend_token: \"{}\" must have D = {} elements, the last axis of x; got {}", token.name,
        width, to_string(token.value.shape()));
  Tensor y = Tensor::empty({examples, x.dim(1) + 1, width}, x.dtype(), x.device());
  copy("prepend_token", examples, width, token.value.to(x.dtype()), 0, 0, y, 0, whole);
  copy("prepend_token", examples, block, x.value(), 0, block, y, width, whole);
  return x.tape().record(
      y, {x.slot()}, {&token},
      [slot = x.slot(), shape = x.shape(), &token, examples, width, block, whole](Tensor gy,
                                                                                  Backprop& back) {
        if (token.trainable) {
          Tensor rows = Tensor::empty({examples, width}, gy.dtype(), gy.device());  // [B, D]
          copy("prepend_token", examples, width, gy, 0, whole, rows, 0, width);
          back.give(token, row_sum(std::move(rows), width));
        }
        if (!slot.wanted()) return;
        Tensor gx = Tensor::empty(shape, gy.dtype(), gy.device());  // [B, T, D]
        copy("prepend_token", examples, block, gy, width, whole, gx, 0, block);
        back.give(slot, std::move(gx));
      });
}

Var select_token(const Var& x, int64_t index) {
  check_tokens("select_token", x);
  const int64_t examples = x.dim(0), tokens = x.dim(1), width = x.dim(2);
  check(index >= 0 && index < tokens, "select_token: index must lie in [0, T) with T = {}; got {}",
        tokens, index);
  Tensor y = Tensor::empty({examples, width}, x.dtype(), x.device());  // [B, D]
  copy("select_token", examples, width, x.value(), index * width, tokens * width, y, 0, width);
  return x.tape().record(y, {x.slot()}, {},
                         [slot = x.slot(), shape = x.shape(), examples, tokens, width, index](
                             Tensor gy, Backprop& back) {
                           Tensor gx = Tensor::zeros(shape, gy.dtype(), gy.device());  // [B, T, D]
                           copy("select_token", examples, width, gy, 0, width, gx, index * width,
                                tokens * width);
                           back.give(slot, std::move(gx));
                         });
}

Var mean_tokens(const Var& x, int64_t first, const Tensor& lengths) {
  check_tokens("mean_tokens", x);
  const int64_t examples = x.dim(0), tokens = x.dim(1), width = x.dim(2);
  check(first >= 0 && first < tokens, "mean_tokens: first must lie in [0, T) with T = {}; got {}",
        tokens, first);
  if (lengths.defined()) check_lengths("mean_tokens", lengths, examples, tokens);
  const Tensor ends = lengths.defined() ? lengths.to(x.device()) : Tensor();
  Tensor y = Tensor::empty({examples, width}, x.dtype(), x.device());  // [B, D]
  dispatch_float("mean_tokens", x, [&](auto zero) {
    using T = decltype(zero);
    MINNOW_KERNEL(x.device(), mean_tokens_forward<T>)
    (examples, tokens, width, first, ends.defined() ? ends.data<int64_t>() : nullptr,
     x.value().data<T>(), y.data<T>());
  });
  return x.tape().record(y, {x.slot()}, {},
                         [slot = x.slot(), shape = x.shape(), examples, tokens, width, first, ends](
                             Tensor gy, Backprop& back) {
                           Tensor gx = Tensor::empty(shape, gy.dtype(), gy.device());  // [B, T, D]
                           dispatch_float("mean_tokens", gy, [&](auto zero) {
                             using T = decltype(zero);
                             MINNOW_KERNEL(gy.device(), mean_tokens_backward<T>)
                             (examples, tokens, width, first,
                              ends.defined() ? ends.data<int64_t>() : nullptr, gy.data<T>(),
                              gx.data<T>());
                           });
                           back.give(slot, std::move(gx));
                         });
}

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
