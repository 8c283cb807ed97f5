#include "kernels/attention.h"

#include "engine/lengths.h"
#include "engine/ops.h"
#include "kernels/launch.h"

namespace minnow {

Var attention(const Var& qkv, int64_t heads, const AttentionOptions& options) {
  check(qkv.value().rank() == 3 && qkv.dim(2) % 3 == 0,
        "attention: qkv must be [B, T, 3 D]; got {}", to_string(qkv.shape()));
  const int64_t batch = qkv.dim(0), tokens = qkv.dim(1), width = qkv.dim(2) / 3;
  check(heads > 0 && width % heads == 0, "attention: D = {} must be divisible by heads; got {}",
        width, heads);
  if (options.lengths.defined()) check_lengths("attention", options.lengths, batch, tokens);
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
