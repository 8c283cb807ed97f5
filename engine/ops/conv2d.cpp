#include "kernels/conv2d.h"

#include "engine/ops.h"
#include "engine/param_grad.h"
#include "kernels/launch.h"

namespace minnow {
namespace {

ConvShape conv_shape(const Shape& x, const Shape& w, const Conv2dOptions& o) {
  check(x.size() == 4, "conv2d: x must be [B, C, H, W]; got {}", to_string(x));
  check(o.stride > 0 && o.dilation > 0 && o.padding >= 0,
        "conv2d: stride and dilation must be positive and padding not negative; got {}, {} and {}",
        o.stride, o.dilation, o.padding);
  check(o.groups > 0 && x[1] % o.groups == 0, "conv2d: C = {} must be divisible by groups; got {}",
        x[1], o.groups);
  check(w.size() == 4 && w[1] == x[1] / o.groups && w[2] > 0 && w[3] > 0,
        "conv2d: weight must be [F, C / groups, kh, kw] with C / groups = {}; got {}",
        x[1] / o.groups, to_string(w));
  check(w[0] % o.groups == 0, "conv2d: F = {} must be divisible by groups; got {}", w[0], o.groups);
  check(o.dilation * (w[2] - 1) < x[2] + 2 * o.padding &&
            o.dilation * (w[3] - 1) < x[3] + 2 * o.padding,
        "conv2d: the dilated kernel must fit into the padded image, {} x {}; got {} x {}",
        x[2] + 2 * o.padding, x[3] + 2 * o.padding, o.dilation * (w[2] - 1) + 1,
        o.dilation * (w[3] - 1) + 1);
  return {.batch = x[0],
          .channels = x[1],
          .height = x[2],
          .width = x[3],
          .filters = w[0],
          .kernel_h = w[2],
          .kernel_w = w[3],
          .stride = o.stride,
          .padding = o.padding,
          .dilation = o.dilation,
          .groups = o.groups};
}

}  // namespace

Var conv2d(const Var& x, const Parameter& weight, const Parameter* bias,
           const Conv2dOptions& options) {
  const Tensor w = weight.value.to(x.dtype());
  const ConvShape shape = conv_shape(x.shape(), w.shape(), options);
  check(bias == nullptr || bias->value.shape() == Shape{shape.filters},
        "conv2d: bias must be [{}]; got {}", shape.filters,
        bias == nullptr ? "" : to_string(bias->value.shape()));
  Tensor y = Tensor::empty({shape.batch, shape.filters, shape.out_h(), shape.out_w()}, x.dtype(),
                           x.device());
  dispatch_float("conv2d", x, [&](auto zero) {
    using T = decltype(zero);
    MINNOW_KERNEL(x.device(), conv2d_forward<T>)
    (shape, x.value().data<T>(), w.data<T>(),
     bias == nullptr ? nullptr : bias->value.data<Wide<T>>(), y.data<T>());
  });

  return x.tape().record(
      y, {x.slot()}, {&weight, bias},
      // x itself is read by the weight's gradient only
      [slot = x.slot(), saved = weight.trainable ? x.value() : Tensor(), dims = x.shape(), w,
       &weight, bias, shape](Tensor gy, Backprop& back) {
        if (weight.trainable) back.give(weight, conv_product(saved, gy, shape));
        const bool bias_wanted = bias != nullptr && bias->trainable;
        Tensor gx = Tensor::empty(slot.wanted() ? dims : Shape{0}, gy.dtype(), gy.device());
        Tensor gb = Tensor::empty({bias_wanted ? shape.batch : 0, shape.filters}, wide(gy.dtype()),
                                  gy.device());  // [B, F]: one sum an example
        dispatch_float("conv2d", gy, [&](auto zero) {
          using T = decltype(zero);
          if (bias_wanted) {
            MINNOW_KERNEL(gy.device(), conv2d_bias_sums<T>)
            (shape, gy.data<T>(), gb.data<Wide<T>>());
          }
          if (slot.wanted()) {
            MINNOW_KERNEL(gy.device(), conv2d_backward<T>)
            (shape, gy.data<T>(), w.data<T>(), gx.data<T>());
          }
        });
        if (bias_wanted) back.give(*bias, row_sum(gb, shape.filters));
        back.give(slot, std::move(gx));
      });
}

}  // namespace minnow
