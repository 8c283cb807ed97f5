#include "kernels/binary.h"

#include "engine/ops.h"
#include "engine/param_grad.h"
#include "kernels/launch.h"

namespace minnow {
namespace {

void check_same(std::string_view name, const Var& a, const Var& b) {
  check(a.shape() == b.shape() && a.dtype() == b.dtype(),
        "{}: both inputs must have one shape and dtype; got {} {} and {} {}", name,
        to_string(a.dtype()), to_string(a.shape()), to_string(b.dtype()), to_string(b.shape()));
}

Tensor product(const Tensor& a, const Tensor& b) {
  Tensor y = Tensor::empty(a.shape(), a.dtype(), a.device());
  dispatch_float("mul", a, [&](auto zero) {
    using T = decltype(zero);
    MINNOW_KERNEL(a.device(), multiply<T>)(y.numel(), a.data<T>(), b.data<T>(), y.data<T>());
  });
  return y;
}

Tensor scaled(const Tensor& x, double factor) {
  Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
  dispatch_float("scale", x, [&](auto zero) {
    using T = decltype(zero);
    MINNOW_KERNEL(x.device(), scale<T>)
    (y.numel(), static_cast<Wide<T>>(factor), x.data<T>(), y.data<T>());
  });
  return y;
}

/// x [rows, width] + p [width].
Tensor plus_rows(std::string_view name, const Tensor& x, const Tensor& p) {
  const int64_t width = p.numel();
  Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
  dispatch_float(name, x, [&](auto zero) {
    using T = decltype(zero);
    MINNOW_KERNEL(x.device(), add_broadcast<T>)
    (width == 0 ? 0 : y.numel() / width, width, x.data<T>(), p.data<Wide<T>>(), y.data<T>());
  });
  return y;
}

/// The same for a parameter, whose gradient is the sum of the rows of gy.
Var add_rows(std::string_view name, const Var& x, const Parameter& p) {
  return x.tape().record(plus_rows(name, x.value(), p.value), {x.slot()}, {&p},
                         [slot = x.slot(), &p, width = p.value.numel()](Tensor gy, Backprop& back) {
                           if (p.trainable) back.give(p, row_sum(gy, width));
                           back.give(slot, std::move(gy));
                         });
}

}  // namespace

Var add(const Var& a, const Var& b) {
  check_same("add", a, b);
  Tensor y = Tensor::empty(a.shape(), a.dtype(), a.device());
  dispatch_float("add", a, [&](auto zero) {
    using T = decltype(zero);
    MINNOW_KERNEL(a.device(), add<T>)
    (y.numel(), a.value().data<T>(), b.value().data<T>(), y.data<T>());
  });
  return a.tape().record(y, {a.slot(), b.slot()}, {},
                         [a = a.slot(), b = b.slot()](Tensor gy, Backprop& back) {
                           back.give(a, gy);
                           back.give(b, std::move(gy));
                         });
}

Var mul(const Var& a, const Var& b) {
  check_same("mul", a, b);
  return a.tape().record(
      product(a.value(), b.value()), {a.slot(), b.slot()}, {},
      [a = a.slot(), b = b.slot(), va = b.slot().wanted() ? a.value() : Tensor(),
       vb = a.slot().wanted() ? b.value() : Tensor()](Tensor gy, Backprop& back) {
        if (a.wanted()) back.give(a, product(gy, vb));
        if (b.wanted()) back.give(b, product(gy, va));
      });
}

Var scale(const Var& x, double factor) {
  return x.tape().record(scaled(x.value(), factor), {x.slot()}, {},
                         [slot = x.slot(), factor](Tensor gy, Backprop& back) {
                           back.give(slot, scaled(gy, factor));
                         });
}

Var add_bias(const Var& x, const Parameter& bias) {
  check(x.value().rank() >= 2 && bias.value.shape() == Shape{x.dim(-1)},
        "add_bias: bias must be [C] with C the last axis of x {}; got {}", to_string(x.shape()),
        to_string(bias.value.shape()));
  return add_rows("add_bias", x, bias);
}

Var add_parameter(const Var& x, const Parameter& p) {
  Shape rest = x.shape(), own = p.value.shape();
  check(!rest.empty(), "add_parameter: x needs a leading example axis; got a scalar");
  rest.erase(rest.begin());
  while (own.size() > rest.size() && own.front() == 1) own.erase(own.begin());
  check(own == rest, "add_parameter: \"{}\" must have the shape of one example, {}; got {}", p.name,
        to_string(rest), to_string(p.value.shape()));
  return add_rows("add_parameter", x, p);
}

Var add_constant(const Var& x, const Tensor& c) {
  check(x.value().rank() >= 1 && c.shape() == Shape(x.shape().begin() + 1, x.shape().end()),
        "add_constant: the constant must have the shape of one example of x {}; got {}",
        to_string(x.shape()), to_string(c.shape()));
  return x.tape().record(
      plus_rows("add_constant", x.value(), c.to(x.device())), {x.slot()}, {},
      [slot = x.slot()](Tensor gy, Backprop& back) { back.give(slot, std::move(gy)); });
}

namespace {

Tensor times_rows(const Tensor& x, const Tensor& p) {
  Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
  const int64_t width = p.numel();
  dispatch_float("layer_scale", x, [&](auto zero) {
    using T = decltype(zero);
    MINNOW_KERNEL(x.device(), multiply_broadcast<T>)
    (width == 0 ? 0 : y.numel() / width, width, x.data<T>(), p.data<Wide<T>>(), y.data<T>());
  });
  return y;
}

}  // namespace

Var layer_scale(const Var& x, const Parameter& gamma) {
  check(x.value().rank() >= 2 && gamma.value.shape() == Shape{x.dim(-1)},
        "layer_scale: gamma must be [C] with C the last axis of x {}; got {}", to_string(x.shape()),
        to_string(gamma.value.shape()));
  const Tensor g = gamma.value;
  return x.tape().record(times_rows(x.value(), g), {x.slot()}, {&gamma},
                         [slot = x.slot(), saved = gamma.trainable ? x.value() : Tensor(), g,
                          &gamma](Tensor gy, Backprop& back) {
                           if (gamma.trainable) {
                             // Not rounded before they are summed.
                             const DType dtype = wide(gy.dtype());
                             back.give(gamma,
                                       row_sum(product(gy.to(dtype), saved.to(dtype)), g.numel()));
                           }
                           if (slot.wanted()) back.give(slot, times_rows(gy, g));
                         });
}

}  // namespace minnow
