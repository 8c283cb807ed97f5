#include "kernels/batchnorm.h"

#include "engine/groups.h"
#include "engine/lengths.h"
#include "engine/ops.h"
#include "engine/param_grad.h"
#include "kernels/launch.h"

namespace minnow {
namespace {

BatchNormShape batchnorm_shape(const Var& x, const Tensor& lengths,
                               std::initializer_list<const Parameter*> parameters) {
  check(x.value().rank() >= 2 && x.dim(1) > 0, "batchnorm: x must be [B, C, rest...]; got {}",
        to_string(x.shape()));
  for (const Parameter* p : parameters) {
    check(p->value.shape() == Shape{x.dim(1)},
          "batchnorm: weight, bias and running statistics must be [C] with C = {}, the input's "
          "second axis; got {}",
          x.dim(1), to_string(p->value.shape()));
  }
  check(x.value().numel() > 0, "batchnorm: x must not be empty; got {}", to_string(x.shape()));
  if (lengths.defined()) {
    check(x.value().rank() == 3, "batchnorm: lengths are those of x [B, C, T]; got {}",
          to_string(x.shape()));
    check_lengths("batchnorm", lengths, x.dim(0), x.dim(2));
  }
  return {x.dim(0), x.dim(1), x.value().numel() / (x.dim(0) * x.dim(1)),
          lengths.defined() ? lengths.data<int64_t>() : nullptr};
}

/// The micro-batches over which to take statistics.
std::shared_ptr<const Grouping> coupled_groups(const Tape& tape, const BatchNormShape& shape) {
  const GroupContext& context = tape.groups();
  check(context.complete,
        "batchnorm: a micro-batch passes the model in pieces, but its statistics are those of the "
        "whole: train.wave must be 0 or hold a whole micro-batch (without clipping: the batch)");
  auto groups = context.groups;
  if (!groups) groups = std::make_shared<const Grouping>(Grouping::runs(shape.batch, shape.batch));
  check(groups->examples() == shape.batch, "batchnorm: the micro-batches hold {} examples; got {}",
        groups->examples(), shape.batch);
  if (shape.lengths != nullptr) return groups;  // one value of a channel becomes its bias
  for (int64_t j = 0; j < groups->groups(); ++j) {
    check(groups->size(j) == 0 || groups->size(j) * shape.inner > 1,
          "batchnorm: a variance needs two values of a channel; a micro-batch of one example has "
          "one in x [{}, {}, {}]",
          shape.batch, shape.channels, shape.inner);
  }
  return groups;
}

}  // namespace

Var batchnorm(const Var& x, const Parameter& weight, const Parameter& bias,
              const Parameter& running_mean, const Parameter& running_var,
              const BatchNormOptions& options) {
  const BatchNormShape shape =
      batchnorm_shape(x, options.lengths, {&weight, &bias, &running_mean, &running_var});
  const bool fixed = options.frozen || !x.tape().random().training;
  const auto groups =
      fixed ? std::make_shared<const Grouping>(Grouping::runs(shape.batch, shape.batch))
            : coupled_groups(x.tape(), shape);
  const Segments segments = groups->segments(shape.batch, x.device());
  const Shape each = {groups->groups(), shape.channels};  // [K, C]
  const Tensor w = weight.value;
  const Tensor mean = fixed ? running_mean.value : Tensor::empty(each, wide(x.dtype()), x.device());
  const Tensor var = fixed ? running_var.value : Tensor::empty(each, wide(x.dtype()), x.device());
  Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
  dispatch_float("batchnorm", x, [&](auto zero) {
    using T = decltype(zero);
    using W = Wide<T>;
    if (!fixed) {
      MINNOW_KERNEL(x.device(), batchnorm_moments<T>)
      (shape, segments, x.value().data<T>(), mean.data<W>(), var.data<W>());
      const int64_t step = x.tape().groups().step_examples;
      MINNOW_ON(x.device(), batchnorm_track<W>)
      (shape, segments, options.momentum, step > 0 ? step : shape.batch, mean.data<W>(),
       var.data<W>(), running_mean.value.data<W>(), running_var.value.data<W>());
    }
    MINNOW_KERNEL(x.device(), batchnorm_forward<T>)
    (shape, segments, static_cast<W>(options.eps), x.value().data<T>(), mean.data<W>(),
     var.data<W>(), w.data<W>(), bias.value.data<W>(), y.data<T>());
  });

  return x.tape().record(
      y, {x.slot()}, {&weight, &bias},
      [slot = x.slot(), saved = x.value(), groups, segments, mean, var, w, &weight, &bias, shape,
       fixed, eps = options.eps, lengths = options.lengths](Tensor gy, Backprop& back) {
        const Shape sums = {shape.batch, shape.channels};
        Tensor gx = gy.unique() ? gy : Tensor::empty(gy.shape(), gy.dtype(), gy.device());
        Tensor gw = Tensor::empty(sums, wide(gy.dtype()), gy.device());  // one sum an example
        Tensor gb = Tensor::empty(sums, wide(gy.dtype()), gy.device());
        dispatch_float("batchnorm", gy, [&](auto zero) {
          using T = decltype(zero);
          using W = Wide<T>;
          MINNOW_KERNEL(gy.device(), batchnorm_backward<T>)
          (shape, segments, static_cast<W>(eps), fixed, saved.data<T>(), mean.data<W>(),
           var.data<W>(), w.data<W>(), gy.data<T>(), gx.data<T>(), gw.data<W>(), gb.data<W>());
        });
        if (weight.trainable) back.give(weight, row_sum(gw, shape.channels));
        if (bias.trainable) back.give(bias, row_sum(gb, shape.channels));
        gy = Tensor();
        back.give(slot, std::move(gx));
      });
}

}  // namespace minnow
