#pragma once

#include "engine/grouped_backward.h"
#include "tests/op_case.h"

namespace minnow::test {

struct Gradients {
  Tensors inputs, parameters;
};

/// A sample with concrete numbers on the test device: the same numbers in every dtype, exact in
/// `exact_in`.
class OpRun {
 public:
  explicit OpRun(const Sample& sample, DType dtype, DType exact_in = DType::float32);

  int64_t examples() const;
  Tensors parameter_values() const;  ///< on the host
  Tensors input_values() const;      ///< on the host
  Parameters parameter_list();

  /// The output, on the host.
  Tensor forward();
  /// sum of weights * output, with fixed random weights.
  double loss();
  /// Gradients of loss() by the tape, on the host.
  Gradients gradients();
  /// Seconds of one forward pass, the output left on the device.
  double time_forward();
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

  Tensor rounded(const Tensor& x) const;

  const Sample& sample_;
  DType dtype_, exact_in_;
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
