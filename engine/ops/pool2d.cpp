#include "kernels/pool2d.h"

#include "engine/ops.h"
#include "kernels/launch.h"

namespace minnow {
namespace {

PoolShape pool_shape(std::string_view name, const Shape& x, const Pool2dOptions& o) {
  check(x.size() == 4, "{}: x must be [B, C, H, W]; got {}", name, to_string(x));
  check(o.kernel > 0 && o.stride > 0, "{}: kernel and stride must be positive; got {} and {}", name,
        o.kernel, o.stride);
  check(o.padding >= 0 && o.padding <= o.kernel / 2,
        "{}: padding must lie in [0, kernel / 2], so that no window is all padding; got {} for "
        "kernel {}",
        name, o.padding, o.kernel);
  check(x[2] > 0 && x[3] > 0 && std::min(x[2], x[3]) + 2 * o.padding >= o.kernel,
        "{}: the kernel must fit into the padded image, {} x {}; got {}", name,
        x[2] + 2 * o.padding, x[3] + 2 * o.padding, o.kernel);
  return {.planes = x[0] * x[1],
          .height = x[2],
          .width = x[3],
          .kernel = o.kernel,
          .stride = o.stride,
          .padding = o.padding};
}

Shape pooled(const Shape& x, const PoolShape& shape) {
  return {x[0], x[1], shape.out_h(), shape.out_w()};
}

}  // namespace

Var max_pool2d(const Var& x, const Pool2dOptions& options) {
  const PoolShape shape = pool_shape("max_pool2d", x.shape(), options);
  Tensor y = Tensor::empty(pooled(x.shape(), shape), x.dtype(), x.device());
  Tensor place = Tensor::empty(y.shape(), DType::int64, x.device());
  dispatch_float("max_pool2d", x, [&](auto zero) {
    using T = decltype(zero);
    MINNOW_KERNEL(x.device(), max_pool_forward<T>)
    (shape, x.value().data<T>(), y.data<T>(), place.data<int64_t>());
  });
  return x.tape().record(
      y, {x.slot()}, {},
      [slot = x.slot(), dims = x.shape(), place, shape](Tensor gy, Backprop& back) {
        Tensor gx = Tensor::empty(dims, gy.dtype(), gy.device());  // [B, C, H, W]
        dispatch_float("max_pool2d", gy, [&](auto zero) {
          using T = decltype(zero);
          MINNOW_KERNEL(gy.device(), max_pool_backward<T>)
          (shape, place.data<int64_t>(), gy.data<T>(), gx.data<T>());
        });
        back.give(slot, std::move(gx));
      });
}

Var avg_pool2d(const Var& x, const Pool2dOptions& options) {
  const PoolShape shape = pool_shape("avg_pool2d", x.shape(), options);
  Tensor y = Tensor::empty(pooled(x.shape(), shape), x.dtype(), x.device());
  dispatch_float("avg_pool2d", x, [&](auto zero) {
    using T = decltype(zero);
    MINNOW_KERNEL(x.device(), avg_pool_forward<T>)(shape, x.value().data<T>(), y.data<T>());
  });
  return x.tape().record(
      y, {x.slot()}, {}, [slot = x.slot(), dims = x.shape(), shape](Tensor gy, Backprop& back) {
        Tensor gx = Tensor::empty(dims, gy.dtype(), gy.device());  // [B, C, H, W]
        dispatch_float("avg_pool2d", gy, [&](auto zero) {
          using T = decltype(zero);
          MINNOW_KERNEL(gy.device(), avg_pool_backward<T>)(shape, gy.data<T>(), gx.data<T>());
        });
        back.give(slot, std::move(gx));
      });
}

Var global_avg_pool(const Var& x) {
  check(x.value().rank() == 4 && x.dim(2) * x.dim(3) > 0,
        "global_avg_pool: x must be [B, C, H, W] with at least one pixel; got {}",
        to_string(x.shape()));
  const int64_t planes = x.dim(0) * x.dim(1), area = x.dim(2) * x.dim(3);
  Tensor y = Tensor::empty({x.dim(0), x.dim(1)}, x.dtype(), x.device());
  dispatch_float("global_avg_pool", x, [&](auto zero) {
    using T = decltype(zero);
    MINNOW_KERNEL(x.device(), global_avg_pool_forward<T>)
    (planes, area, x.value().data<T>(), y.data<T>());
  });
  return x.tape().record(
      y, {x.slot()}, {},
      [slot = x.slot(), dims = x.shape(), planes, area](Tensor gy, Backprop& back) {
        Tensor gx = Tensor::empty(dims, gy.dtype(), gy.device());  // [B, C, H, W]
        dispatch_float("global_avg_pool", gy, [&](auto zero) {
          using T = decltype(zero);
          MINNOW_KERNEL(gy.device(), global_avg_pool_backward<T>)
          (planes, area, gy.data<T>(), gx.data<T>());
        });
        back.give(slot, std::move(gx));
      });
}

}  // namespace minnow
