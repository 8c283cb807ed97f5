#include "engine/param_grad.h"
#include "kernels/conv2d_weight.h"
#include "kernels/launch.h"

namespace minnow {
namespace {

class ConvProduct final : public ParamGrad {
 public:
  ConvProduct(Tensor x, Tensor g, const ConvShape& shape)
      : shape_(shape), x_(std::move(x)), g_(std::move(g)) {}

  void sum(const Tensor& out, bool accumulate) const override {
    dispatch_float("conv2d", g_, [&](auto zero) {
      using T = decltype(zero);
      MINNOW_KERNEL(g_.device(), conv_sum<T>)
      (shape_, x_.data<T>(), g_.data<T>(), Wide<T>(accumulate), out.data<Wide<T>>());
    });
  }

  void group_sums(const Grouping& groups, const Tensor& out, bool accumulate,
                  double* sumsq) const override {
    dispatch_float("conv2d", g_, [&](auto zero) {
      using T = decltype(zero);
      MINNOW_KERNEL(g_.device(), conv_group_sums<T>)
      (shape_, groups.segments(shape_.batch, g_.device()), x_.data<T>(), g_.data<T>(),
       Wide<T>(accumulate), out.data<Wide<T>>(), sumsq);
    });
  }

  void group_sumsq(const Grouping& groups, double* sumsq) const override {
    dispatch_float("conv2d", g_, [&](auto zero) {
      using T = decltype(zero);
      MINNOW_KERNEL(g_.device(), conv_group_sumsq<T>)
      (shape_, groups.segments(shape_.batch, g_.device()), x_.data<T>(), g_.data<T>(), sumsq);
    });
  }

  void weighted_sum(const Grouping& groups, const double* c, const Tensor& out,
                    bool accumulate) const override {
    dispatch_float("conv2d", g_, [&](auto zero) {
      using T = decltype(zero);
      MINNOW_KERNEL(g_.device(), conv_weighted_sum<T>)
      (shape_, groups.segments(shape_.batch, g_.device()), x_.data<T>(), g_.data<T>(), c,
       Wide<T>(accumulate), out.data<Wide<T>>());
    });
  }

  double rows(const Grouping& groups) const override {
    const double rows = static_cast<double>(shape_.batch * shape_.out_area()) /
                        static_cast<double>(groups.groups());
    // On the CPU the library's gradient has to be put into a tensor's order if it is kept, not if
    // only its norm is wanted. Layers of ResNets, timed both ways on 2 AVX-512 cores, break even at
    // 2.1 to 2.5 tau where that goes through memory, and at 1.4 where the cache holds it.
    constexpr int64_t outgrows_cache = 512 << 10;
    const bool by_library = g_.device().is_cpu() && g_.dtype() == DType::float32 &&
                            shape_.groups == 1 && !shape_.pointwise();
    const bool rearranged =
        by_library && shape_.filters * shape_.taps() * size_of(g_.dtype()) > outgrows_cache;
    return rearranged ? rows / 2.5 : rows;
  }

 private:
  ConvShape shape_;
  Tensor x_, g_;
};

}  // namespace

std::shared_ptr<const ParamGrad> conv_product(Tensor x, Tensor g, const ConvShape& shape) {
  return std::make_shared<ConvProduct>(std::move(x), std::move(g), shape);
}

}  // namespace minnow
