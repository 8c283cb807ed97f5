#include "kernels/patch_embed.h"

#include "engine/ops.h"
#include "engine/param_grad.h"
#include "kernels/launch.h"
#include "kernels/linear.h"

namespace minnow {
namespace {

void check_shapes(const Shape& x, const Shape& weight, const Parameter* bias) {
  check(x.size() == 4, "patch_embed: x must be [B, C, H, W]; got {}", to_string(x));
  check(weight.size() == 4 && weight[1] == x[1] && weight[2] == weight[3] && weight[2] > 0,
        "patch_embed: weight must be [D, C, p, p] with C = {}, the channels of x; got {}", x[1],
        to_string(weight));
  check(x[2] % weight[2] == 0 && x[3] % weight[2] == 0,
        "patch_embed: height and width must be divisible by p = {}; got {} x {}", weight[2], x[2],
        x[3]);
  check(bias == nullptr || bias->value.shape() == Shape{weight[0]},
        "patch_embed: bias must be [{}]; got {}", weight[0],
        bias == nullptr ? "" : to_string(bias->value.shape()));
}

}  // namespace

Var patch_embed(const Var& x, const Parameter& weight, const Parameter* bias) {
  const Tensor w = weight.value.to(x.dtype());
  check_shapes(x.shape(), w.shape(), bias);
  const int64_t batch = x.dim(0), channels = x.dim(1), height = x.dim(2), width = x.dim(3);
  const int64_t out = w.dim(0), patch = w.dim(2), in = channels * patch * patch;
  const int64_t tokens = (height / patch) * (width / patch), rows = batch * tokens;
  const Tensor patches = Tensor::empty({batch, tokens, in}, x.dtype(), x.device());
  Tensor y = Tensor::empty({batch, tokens, out}, x.dtype(), x.device());
  dispatch_float("patch_embed", x, [&](auto zero) {
    using T = decltype(zero);
    MINNOW_KERNEL(x.device(), patchify<T>)
    (batch, channels, height, width, patch, x.value().data<T>(), patches.data<T>());
    MINNOW_KERNEL(x.device(), linear_forward<T>)
    (rows, in, out, patches.data<T>(), w.data<T>(),
     bias == nullptr ? nullptr : bias->value.data<Wide<T>>(), y.data<T>());
  });

  return x.tape().record(
      y, {x.slot()}, {&weight, bias},
      [slot = x.slot(), shape = x.shape(), saved = weight.trainable ? patches : Tensor(), w,
       &weight, bias, rows, tokens, in, out, patch](Tensor gy, Backprop& back) {
        if (weight.trainable) back.give(weight, outer_product(saved, gy));
        if (bias != nullptr && bias->trainable) back.give(*bias, row_sum(gy, out));
        if (!slot.wanted()) return;
        Tensor gpatches = Tensor::empty({shape[0], tokens, in}, gy.dtype(), gy.device());
        Tensor gx = Tensor::empty(shape, gy.dtype(), gy.device());  // [B, C, H, W]
        dispatch_float("patch_embed", gy, [&](auto zero) {
          using T = decltype(zero);
          MINNOW_KERNEL(gy.device(), linear_backward<T>)
          (rows, in, out, gy.data<T>(), w.data<T>(), gpatches.data<T>());
          MINNOW_KERNEL(gy.device(), unpatchify<T>)
          (shape[0], shape[1], shape[2], shape[3], patch, gpatches.data<T>(), gx.data<T>());
        });
        back.give(slot, std::move(gx));
      });
}

}  // namespace minnow
