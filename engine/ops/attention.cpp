#include "kernels/attention.h"

#include "engine/ops.h"
#include "kernels/launch.h"

namespace minnow {
namespace {

void check_lengths(const Tensor& lengths, int64_t batch, int64_t tokens) {
  check(lengths.dtype() == DType::int64 && lengths.shape() == Shape{batch},
        "attention: lengths must be int64 [B] with B = {}; got {} {}", batch,
        to_string(lengths.dtype()), to_string(lengths.shape()));
  for (int64_t b = 0; lengths.device().is_cpu() && b < batch; ++b) {
    const int64_t length = lengths.data<int64_t>()[b];
    check(length >= 0 && length <= tokens,
          "attention: lengths must lie in [0, T] with T = {}; got {} for example {}", tokens,
          length, b);
  }
}

}  // namespace

Var attention(const Var& qkv, int64_t heads, const AttentionOptions& options) {
  check(qkv.value().rank() == 3 && qkv.dim(2) % 3 == 0,
        "attention: qkv must be [B, T, 3 D]; got {}", to_string(qkv.shape()));
  const int64_t batch = qkv.dim(0), tokens = qkv.dim(1), width = qkv.dim(2) / 3;
  check(heads > 0 && width % heads == 0, "attention: D = {} must be divisible by heads; got {}",
        width, heads);
  if (options.lengths.defined()) check_lengths(options.lengths, batch, tokens);
  const Tensor lengths = options.lengths.defined() ? options.lengths.to(qkv.device()) : Tensor();
  const AttentionShape shape{.batch = batch,
                             .tokens = tokens,
                             .heads = heads,
                             .head_dim = width / heads,
                             .causal = options.causal};
  Tensor o = Tensor::empty({batch, tokens, width}, qkv.dtype(), qkv.device());
  Tensor lse = Tensor::empty({batch, heads, tokens}, wide(qkv.dtype()), qkv.device());
  dispatch_float("attention", qkv, [&](auto zero) {
    using T = decltype(zero);
    MINNOW_KERNEL(qkv.device(), attention_forward<T>)
    (shape, lengths.defined() ? lengths.data<int64_t>() : nullptr, qkv.value().data<T>(),
     o.data<T>(), lse.data<Wide<T>>());
  });

  return qkv.tape().record(
      o, {qkv.slot()}, {},
      [slot = qkv.slot(), saved = qkv.value(), o, lse, lengths, shape](Tensor go, Backprop& back) {
        Tensor gqkv = Tensor::empty(saved.shape(), go.dtype(), go.device());  // [B, T, 3 D]
        dispatch_float("attention", go, [&](auto zero) {
          using T = decltype(zero);
          MINNOW_KERNEL(go.device(), attention_backward<T>)
          (shape, lengths.defined() ? lengths.data<int64_t>() : nullptr, saved.data<T>(),
           o.data<T>(), lse.data<Wide<T>>(), go.data<T>(), gqkv.data<T>());
        });
        back.give(slot, std::move(gqkv));
      });
}

}  // namespace minnow
