#include "engine/param_grad.h"

#include <limits>

#include "kernels/launch.h"
#include "kernels/outer.h"
#include "kernels/reduce.h"

namespace minnow {
namespace {

class OuterProduct final : public ParamGrad {
 public:
  OuterProduct(Tensor a, Tensor g)
      : out_(g.dim(-1)),
        in_(a.dim(-1)),
        rows_(out_ == 0 ? 0 : g.numel() / out_),
        a_(std::move(a)),
        g_(std::move(g)) {}

  void sum(const Tensor& out, bool accumulate) const override {
    dispatch_float("linear", g_, [&](auto zero) {
      using T = decltype(zero);
      MINNOW_KERNEL(g_.device(), outer_sum<T>)
      (rows_, in_, out_, a_.data<T>(), g_.data<T>(), Wide<T>(accumulate), out.data<Wide<T>>());
    });
  }

  void group_sums(const Grouping& groups, const Tensor& out, bool accumulate,
                  double* sumsq) const override {
    const Segments segments = groups.segments(rows_, g_.device());
    dispatch_float("linear", g_, [&](auto zero) {
      using T = decltype(zero);
      MINNOW_KERNEL(g_.device(), outer_group_sums<T>)
      (segments, in_, out_, a_.data<T>(), g_.data<T>(), Wide<T>(accumulate), out.data<Wide<T>>(),
       sumsq);
    });
  }

  void group_sumsq(const Grouping& groups, double* sumsq) const override {
    const Segments segments = groups.segments(rows_, g_.device());
    dispatch_float("linear", g_, [&](auto zero) {
      using T = decltype(zero);
      MINNOW_KERNEL(g_.device(), outer_group_sumsq<T>)
      (segments, in_, out_, a_.data<T>(), g_.data<T>(), sumsq);
    });
  }

  void weighted_sum(const Grouping& groups, const double* c, const Tensor& out,
                    bool accumulate) const override {
    const Segments segments = groups.segments(rows_, g_.device());
    dispatch_float("linear", g_, [&](auto zero) {
      using T = decltype(zero);
      MINNOW_KERNEL(g_.device(), outer_weighted_sum<T>)
      (segments, in_, out_, a_.data<T>(), g_.data<T>(), c, Wide<T>(accumulate),
       out.data<Wide<T>>());
    });
  }

  double rows(const Grouping& groups) const override {
    return static_cast<double>(rows_) / static_cast<double>(groups.groups());
  }

 private:
  int64_t out_, in_, rows_;
  Tensor a_, g_;
};

class RowSum final : public ParamGrad {
 public:
  RowSum(Tensor g, int64_t width)
      : width_(width), rows_(width == 0 ? 0 : g.numel() / width), g_(std::move(g)) {}

  void sum(const Tensor& out, bool accumulate) const override {
    const int64_t all[] = {0, rows_};
    reduce({.groups = 1, .bounds = all}, nullptr, out, accumulate);
  }

  void group_sums(const Grouping& groups, const Tensor& out, bool accumulate,
                  double* sumsq) const override {
    const Segments segments = groups.segments(rows_, g_.device());
    dispatch_float("row sum", g_, [&](auto zero) {
      using T = decltype(zero);
      MINNOW_KERNEL(g_.device(), segment_sums<T>)
      (segments, width_, g_.data<T>(), Wide<T>(accumulate), out.data<Wide<T>>(), sumsq);
    });
  }

  void group_sumsq(const Grouping& groups, double* sumsq) const override {
    group_sums(groups, Tensor::empty({groups.groups(), width_}, wide(g_.dtype()), g_.device()),
               false, sumsq);
  }

  void weighted_sum(const Grouping& groups, const double* c, const Tensor& out,
                    bool accumulate) const override {
    reduce(groups.segments(rows_, g_.device()), c, out, accumulate);
  }

  /// [K, P] is never more than G itself.
  double rows(const Grouping&) const override { return std::numeric_limits<double>::infinity(); }

 private:
  void reduce(const Segments& segments, const double* c, const Tensor& out, bool accumulate) const {
    dispatch_float("row sum", g_, [&](auto zero) {
      using T = decltype(zero);
      MINNOW_KERNEL(g_.device(), weighted_row_sum<T>)
      (segments, width_, g_.data<T>(), c, Wide<T>(accumulate), out.data<Wide<T>>());
    });
  }

  int64_t width_, rows_;
  Tensor g_;
};

}  // namespace

std::shared_ptr<const ParamGrad> outer_product(Tensor a, Tensor g) {
  return std::make_shared<OuterProduct>(std::move(a), std::move(g));
}

std::shared_ptr<const ParamGrad> row_sum(Tensor g, int64_t width) {
  return std::make_shared<RowSum>(std::move(g), width);
}

}  // namespace minnow
