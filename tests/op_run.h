#pragma once

#include "engine/grouped_backward.h"
#include "tests/op_case.h"

namespace minnow::test {

struct Gradients {
  Tensors inputs, parameters;
};

/// A sample with concrete numbers, in float32 or float64: the same numbers in both, exact in
/// float32.
class OpRun {
 public:
  OpRun(const Sample& sample, DType dtype);

  int64_t examples() const;
  Tensors parameter_values() const;
  Parameters parameter_list();

  Tensor forward();
  /// sum of weights * output, with fixed random weights.
  double loss();
  /// Gradients of loss() by the tape.
  Gradients gradients();
  /// Seconds that the tape runs backwards; forward is not counted.
  double time_backward();
  /// loss() as one number per example.
  LossFn loss_fn();

  Tensors inputs;
  std::vector<Parameter> parameters;

 private:
  Var run(Tape& tape, int64_t begin, int64_t end, Vars& leaves);
  /// Fixed random weights in the shape of the output for the examples [begin, end).
  Tensor weights(const Tensor& output, int64_t begin, int64_t end);

  const Sample& sample_;
  DType dtype_;
  Tensor weights_;
};

/// sum over all but the leading axis of weights * y, one number an example.
Var weighted_losses(const Var& y, const Tensor& weights);

/// Keeps plain gradients: sums over all examples.
class SumSink : public GradSink {
 public:
  void take(const Parameter& parameter, std::shared_ptr<const ParamGrad> form,
            bool shared) override;
  std::unordered_map<const Parameter*, Tensor> gradients;
};

}  // namespace minnow::test
