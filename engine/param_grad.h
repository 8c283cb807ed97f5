#pragma once

#include <memory>

#include "engine/groups.h"
#include "engine/tensor.h"
#include "kernels/conv2d.h"

namespace minnow {

/// What one use of a parameter knows about d loss / d W before the examples are summed: one of a
/// few bilinear forms of row matrices that the tape has at hand. There is no default: an op with a
/// parameter has such a form. Every method adds to what `out` holds where `accumulate`, and
/// overwrites it otherwise; `out` has the parameter's shape, with K in front where it holds one
/// gradient a group. sumsq and c are K float64 numbers on the device.
class ParamGrad {
 public:
  virtual ~ParamGrad() = default;

  /// The sum over all examples.
  virtual void sum(const Tensor& out, bool accumulate) const = 0;
  /// The sum over each group; where sumsq is not null it receives the squared norms of the results.
  virtual void group_sums(const Grouping& groups, const Tensor& out, bool accumulate,
                          double* sumsq) const = 0;
  /// The squared norm of each group's sum, forming no more of it than a tile at a time.
  virtual void group_sumsq(const Grouping& groups, double* sumsq) const = 0;
  /// sum_j c[j] (sum over group j); a group with c[j] = 0 is not read, but for what is not finite
  /// in its gradients: a GPU may have put 0 in its place.
  virtual void weighted_sum(const Grouping& groups, const double* c, const Tensor& out,
                            bool accumulate) const = 0;
  /// The rows of a group's product, on average: writing the K group gradients costs less than
  /// forming them a second time where they are tau or more, on a machine where a product of tau
  /// rows takes as long as moving its result (see grouped_backward.h). Fewer than there are where
  /// the result takes longer to move than a product's. Infinity where writing always costs less, 0
  /// where it never does.
  virtual double rows(const Grouping& groups) const = 0;
};

/// A dense weight [out, in]: d loss / d W = G^T A with A [R, in] the rows that the layer read and G
/// [R, out] the gradient of what it wrote; R / B rows for each example.
std::shared_ptr<const ParamGrad> outer_product(Tensor a, Tensor g);

/// A parameter of `width` elements that is added to every row of that width: d loss / d p = the sum
/// of the rows of G, read as [R, width].
std::shared_ptr<const ParamGrad> row_sum(Tensor g, int64_t width);

/// A table [V, D] whose rows were looked up: ids int64 in [0, V), one for each row of G [..., D]. d
/// loss / d W[v] = the sum of the rows of G whose id is v.
std::shared_ptr<const ParamGrad> scatter_rows(Tensor ids, Tensor g);

/// The weight [F, C / groups, kh, kw] of a convolution of x [B, C, H, W] with g [B, F, H', W'] the
/// gradient of its output: the outer product of g with the patches of x, which are gathered again
/// example by example and never kept.
std::shared_ptr<const ParamGrad> conv_product(Tensor x, Tensor g, const ConvShape& shape);

}  // namespace minnow
