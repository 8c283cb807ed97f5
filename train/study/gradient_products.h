#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "engine/grouped_backward.h"

namespace minnow::study {

/// Positions in a data set.
using Examples = std::span<const int64_t>;
/// The losses of examples, as the grouped backward pass asks for them: of [begin, end) of the span,
/// which must live as long as the result.
using LossOf = std::function<LossFn(Examples)>;

/// Inner products of the gradients of n examples, layer by layer.
struct GradientProducts {
  int64_t size = 0;                 ///< n
  std::vector<std::string> layers;  ///< names of parameters without their last part: "blocks.0.mlp"
  std::vector<std::vector<double>> by_layer;  ///< for each layer [n, n]

  /// [n, n]: those of the whole gradients, the sum over the layers.
  std::vector<double> whole() const;
};

/// Of every example's own gradient and, in the last rows and columns, of `others`: whole gradients
/// as clipped_gradient() gives updates. Never more than `block` examples pass through the model at
/// once, and no more than `block` times the largest parameter is held; what that costs is a pass
/// for every pair of half blocks. Error where block < 2.
GradientProducts gradient_products(const Parameters& parameters, Examples examples,
                                   const LossOf& loss, int64_t block,
                                   const std::vector<std::vector<Tensor>>& others = {});

}  // namespace minnow::study
