#pragma once

#include <functional>
#include <string>
#include <vector>

#include "engine/ops.h"
#include "tests/device.h"

namespace minnow::test {

using Vars = std::vector<Var>;
using Tensors = std::vector<Tensor>;
using ParameterRefs = std::vector<const Parameter*>;

/// What one pass over a benchmark sample must at least do; 0: not of that kind.
struct Work {
  double bytes = 0;  ///< read and written, each array once
  double flops = 0;
};

/// One set of shapes for an op, with the op's options bound into its functions.
struct Sample {
  std::string label;
  std::vector<Shape> inputs;  ///< values that need a gradient; the leading axis is the example
  std::vector<Shape> parameters;
  /// The op on the examples [begin, end): `inputs` hold just those; what else an example owns (ids,
  /// labels, lengths) the function slices itself.
  std::function<Var(Tape&, const Vars& inputs, const ParameterRefs&, int64_t begin, int64_t end)>
      forward;
  /// The formula as a reader would write it down, in float64.
  std::function<Tensor(const Tensors& inputs, const Tensors& parameters)> reference;
  /// Roundings on the longest path to one output: the float32 bound is terms * eps * (largest
  /// magnitude).
  double terms = 8;
  /// Moves random inputs away from where the op has no derivative; null: nothing to move.
  std::function<void(const Tensors& inputs)> adjust;
  int64_t examples = 0;  ///< B where no input says it
  /// Whether an output depends on the other examples of its micro-batch: then no wave splits one,
  /// and the groups' gradients do not add up to the plain one.
  bool couples_examples = false;
  bool bfloat16 = true;              ///< whether the op computes in it, on a GPU
  Work forward_work, backward_work;  ///< of benchmark samples
};

/// Inputs that the op must refuse.
struct ErrorCase {
  std::string message;  ///< what the message must contain
  std::function<void(Tape&)> run;
};

/// Everything that is known about one op. The harness derives from it: float32 and float64 against
/// the reference, gradients against finite differences, grouped results against the loop, the sum
/// over groups against the plain gradient, two runs to the bit, and the benchmark.
struct OpCase {
  std::string name;
  std::vector<Sample> samples = {};
  std::vector<ErrorCase> errors = {};
  std::vector<Sample> bench = {};  ///< large shapes, timed and not tested; need no reference
};

std::vector<OpCase>& op_cases();

/// Registers a case when its file is linked: `static const RegisterOp layernorm_case{...};`.
struct RegisterOp {
  explicit RegisterOp(OpCase op) { op_cases().push_back(std::move(op)); }
};

/// Reproducible standard normal numbers.
Tensor random_normal(const Shape& shape, uint64_t seed, DType dtype = DType::float64);
Parameter random_parameter(const std::string& name, const Shape& shape, uint64_t seed,
                           DType dtype = DType::float64);

/// Element-wise map of a float64 tensor, for references.
Tensor map(const Tensor& x, const std::function<double(double)>& f);

}  // namespace minnow::test
