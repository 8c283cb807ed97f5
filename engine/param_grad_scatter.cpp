#include "engine/param_grad.h"
#include "kernels/launch.h"
#include "kernels/scatter.h"

namespace minnow {
namespace {

class ScatterRows final : public ParamGrad {
 public:
  ScatterRows(Tensor ids, Tensor g)
      : rows_(ids.numel()), width_(g.dim(-1)), ids_(std::move(ids)), g_(std::move(g)) {}

  void sum(const Tensor& out, bool accumulate) const override {
    const int64_t all[] = {0, rows_};
    reduce({.groups = 1, .bounds = all}, nullptr, out, accumulate);
  }

  void group_sums(const Grouping& groups, const Tensor& out, bool accumulate,
                  double* sumsq) const override {
    const Segments segments = groups.segments(rows_, g_.device());
    dispatch_wide("scatter", g_, [&](auto zero) {
      using T = decltype(zero);
      MINNOW_ON(g_.device(), scatter_group_sums<T>)
      (segments, out.dim(1), width_, ids_.data<int64_t>(), g_.data<T>(), Wide<T>(accumulate),
       out.data<Wide<T>>(), sumsq);
    });
  }

  void group_sumsq(const Grouping& groups, double* sumsq) const override {
    const Segments segments = groups.segments(rows_, g_.device());
    dispatch_wide("scatter", g_, [&](auto zero) {
      using T = decltype(zero);
      MINNOW_ON(g_.device(), scatter_group_sumsq<T>)
      (segments, width_, ids_.data<int64_t>(), g_.data<T>(), sumsq);
    });
  }

  void weighted_sum(const Grouping& groups, const double* c, const Tensor& out,
                    bool accumulate) const override {
    reduce(groups.segments(rows_, g_.device()), c, out, accumulate);
  }

  /// K tables would be written for the few rows of each that are not zero.
  double rows(const Grouping&) const override { return 0; }

 private:
  void reduce(const Segments& segments, const double* c, const Tensor& out, bool accumulate) const {
    dispatch_wide("scatter", g_, [&](auto zero) {
      using T = decltype(zero);
      MINNOW_ON(g_.device(), scatter_weighted_sum<T>)
      (segments, out.dim(0), width_, ids_.data<int64_t>(), g_.data<T>(), c, Wide<T>(accumulate),
       out.data<Wide<T>>());
    });
  }

  int64_t rows_, width_;
  Tensor ids_, g_;
};

}  // namespace

std::shared_ptr<const ParamGrad> scatter_rows(Tensor ids, Tensor g) {
  return std::make_shared<ScatterRows>(std::move(ids), std::move(g));
}

}  // namespace minnow
