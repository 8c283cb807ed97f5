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
    reduce({0, rows_}, nullptr, out, accumulate);
  }

  void group_sums(const Grouping& groups, const Tensor& out, bool accumulate,
                  double* sumsq) const override {
    const auto bounds = groups.row_bounds(rows_);
    dispatch_float("scatter", g_.dtype(), [&](auto zero) {
      using T = decltype(zero);
      MINNOW_KERNEL(g_.device(), scatter_group_sums<T>)
      (groups.groups(), bounds.data(), out.dim(1), width_, ids_.data<int64_t>(), g_.data<T>(),
       T(accumulate), out.data<T>(), sumsq);
    });
  }

  void group_sumsq(const Grouping& groups, double* sumsq) const override {
    const auto bounds = groups.row_bounds(rows_);
    dispatch_float("scatter", g_.dtype(), [&](auto zero) {
      using T = decltype(zero);
      MINNOW_KERNEL(g_.device(), scatter_group_sumsq<T>)
      (groups.groups(), bounds.data(), width_, ids_.data<int64_t>(), g_.data<T>(), sumsq);
    });
  }

  void weighted_sum(const Grouping& groups, const double* c, const Tensor& out,
                    bool accumulate) const override {
    reduce(groups.row_bounds(rows_), c, out, accumulate);
  }

  /// K tables would be written for the few rows of each that are not zero.
  bool instantiate_pays(const Grouping&, double) const override { return false; }

 private:
  void reduce(const std::vector<int64_t>& bounds, const double* c, const Tensor& out,
              bool accumulate) const {
    dispatch_float("scatter", g_.dtype(), [&](auto zero) {
      using T = decltype(zero);
      MINNOW_KERNEL(g_.device(), scatter_weighted_sum<T>)
      (static_cast<int64_t>(bounds.size()) - 1, bounds.data(), out.dim(0), width_,
       ids_.data<int64_t>(), g_.data<T>(), c, T(accumulate), out.data<T>());
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
