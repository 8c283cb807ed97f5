#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "train/study/statistics.h"
#include "train/study/subject.h"

namespace minnow::study {

/// Cosines of the gradients of planted draggers and of benign examples, of one layer or of the
/// whole. Pairs of which one gradient is zero or not finite have none, and are left out.
/// Source: Wang et al., arXiv 2408.16204, Figure 1 and Assumption 4.4.
struct Cosines {
  std::string layer;  ///< "whole gradient", or a layer's name
  /// n pairs each, as in the figure: dragger i with benign i, and benign i with benign i + 1.
  std::vector<double> dragger_benign = {}, benign_benign = {};
  /// Each with the average gradient of other benign examples.
  std::vector<double> dragger_average = {}, benign_average = {};
  /// Means over all pairs of the n draggers and n benign examples.
  double all_dragger_benign = 0, all_benign_benign = 0, all_dragger_dragger = 0;
  /// Between the expected gradients of a dragger and of a benign example, |mu . g| / |mu| |g| with
  /// its sign: from means of inner products over different examples, so that the noise of single
  /// gradients does not bring it nearer to 0. As a ratio of noisy means it can lie beyond 1. Not a
  /// number where the interval of a squared norm that it divides by reaches 0.
  Estimate expected = {};
  /// Mean norm of a dragger's gradient / norm of the expected benign gradient, estimated likewise:
  /// what Assumption 4.4 bounds by c and C.
  Estimate norm_ratio = {};
};

/// From inner products [2 n + 1, 2 n + 1] of the gradients of n draggers, n benign examples, and
/// the average benign one; n >= 3. Gradients that are not finite play no part.
Cosines cosines(const std::string& layer, const std::vector<double>& products, int64_t n);

/// What one moment says of Assumption 4.4, by the interval of `expected`: 1 where it lies within
/// `near` of 0, -1 where it lies beyond, else 0. Also 0 unless the mean cosine with the average
/// benign gradient is clearly larger for benign examples than for draggers (95 % intervals apart):
/// otherwise that average shows no direction to be orthogonal to.
int orthogonal(const Cosines& whole, double near);

struct CosineOptions {
  int64_t points = 4;       ///< as in find_source
  int64_t examples = 100;   ///< draggers, and as many benign ones
  int64_t reference = 500;  ///< other benign examples for the average, or as many as there are
  int64_t block = 0;        ///< as in gradient_products; 0: the examples of a training step
};

struct CosineMoment {
  int64_t step = 0;
  std::vector<Cosines> parts = {};  ///< the whole gradient, then layer by layer
};

struct CosineStudy {
  Config config;
  int64_t reference = 0;  ///< benign examples that the average was taken of
  int64_t block = 0;
  std::vector<CosineMoment> moments = {};
};

/// Error where the data have too few draggers, or benign examples.
CosineStudy study_cosines(const std::vector<std::string>& arguments, const CosineOptions& options);

}  // namespace minnow::study
