#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "train/study/subject.h"

namespace minnow::study {

/// `count` micro-batches of `size` different examples each, one after another. The pool is used up
/// before any example comes again, in another random order. Error where it has fewer than `size`.
std::vector<int64_t> micro_batches(Examples pool, int64_t size, int64_t count, uint64_t seed);

/// What the gradients of micro-batches measure, whose mean is an estimate with a standard error.
struct NormMean {
  double mean = 0;
  double error = 0;
  int64_t nonfinite = 0;  ///< left out
};
/// The mean of the finite values but the floor(trimmed * n) largest of those n. Error where nothing
/// is kept. The standard error is s / ((1 - share left out) sqrt n), s being the deviation of all n
/// with the largest kept value in the place of each one left out. Source: Tukey and McLaughlin,
/// Sankhya A 25 (1963).
NormMean mean_norm(std::span<const double> norms, double trimmed);

/// How often `count` micro-batches of `size` use each example of a pool, at least 1.
double uses(int64_t count, int64_t size, int64_t pool);
/// Examples that come again tell nothing new: the error as if there were fewer micro-batches.
NormMean with_uses(NormMean mean, double uses);

/// The norms of micro-batch gradients of one size at one moment.
/// Source: Wang et al., arXiv 2408.16204, section 5.2.
struct CHat {
  int64_t micro_batch = 0;
  NormMean benign;                           ///< of benign examples only, the largest 10 % trimmed
  NormMean untrimmed;                        ///< the same with all of them
  NormMean draggers;                         ///< of draggers only
  NormMean one;                              ///< of one dragger and benign examples
  double benign_uses = 1, dragger_uses = 1;  ///< of one example; part of the errors
};
/// numerator.mean / denominator.mean; the error by propagation of theirs, as if independent.
NormMean ratio(const NormMean& numerator, const NormMean& denominator);

struct CHatOptions {
  int64_t points = 4;  ///< as in find_source
  std::vector<int64_t> micro_batches = {1, 4, 16};
  int64_t count = 100;   ///< micro-batches of each kind, and draggers that must be there
  double trimmed = 0.1;  ///< share of the benign norms
};

struct CHatMoment {
  int64_t step = 0;
  std::vector<CHat> sizes = {};
};

struct CHatStudy {
  Config config;
  int64_t benign = 0, draggers = 0;  ///< different examples that the micro-batches are drawn from
  std::vector<CHatMoment> moments = {};
};

/// Error where the data have too few draggers or benign examples, or a micro-batch is larger than
/// the pool of either.
CHatStudy study_c_hat(const std::vector<std::string>& arguments, const CHatOptions& options);

}  // namespace minnow::study
