#pragma once

#include <string>
#include <vector>

#include "engine/tensor.h"

namespace minnow {

/// A weight that training changes, or a statistic of a layer. Its gradient lives with whoever asked
/// for it, never here.
struct Parameter {
  std::string name;
  Tensor value;
  bool trainable = true;  ///< a frozen parameter has no gradient and no share in any norm
  bool decay = true;      ///< whether weight decay applies: not to biases, norms, tokens, positions
  /// Moved by forward passes in training, as a running mean is, and then never trainable.
  bool statistic = false;
};

/// The parameters of a model in the order of its state dict.
using Parameters = std::vector<Parameter*>;

}  // namespace minnow
