#include <cmath>

#include "tests/op_case.h"

namespace minnow::test {
namespace {

Tensor reference(const Tensor& x, const Tensor& bias) {
  const int64_t width = x.dim(-1);
  Tensor y = Tensor::empty(x.shape(), DType::float64);
  for (int64_t i = 0; i < x.numel(); ++i) {
    const double sum = x.data<double>()[i] + bias.data<double>()[i % width];
    y.data<double>()[i] = sum * 0.5 * (1 + std::erf(sum / std::sqrt(2.0)));
  }
  return y;
}

Sample sample(std::string label, Shape x) {
  Sample s;
  s.label = std::move(label);
  s.inputs = {x};
  s.parameters = {{x.back()}};
  s.forward = [](Tape&, const Vars& v, const ParameterRefs& p, int64_t, int64_t) {
    return bias_gelu(v[0], *p[0]);
  };
  s.reference = [](const Tensors& v, const Tensors& p) { return reference(v[0], p[0]); };
  // The sum, and what GELU rounds.
  s.terms = 7;
  // Reads x and writes y; backward reads x and gy and writes gx.
  s.forward_work.bytes = 8.0 * static_cast<double>(numel(x));
  s.backward_work.bytes = 12.0 * static_cast<double>(numel(x));
  return s;
}

const RegisterOp bias_gelu_case{{
    .name = "bias_gelu",
    .samples = {sample("odd", {3, 5, 7}), sample("packs", {4, 3, 16}), sample("matrix", {5, 9}),
                sample("one_column", {3, 1}), sample("one_example", {1, 4, 6}),
                sample("no_tokens", {2, 0, 6}), sample("no_columns", {2, 0})},
    .errors = {{"bias_gelu: bias must be [C] with C the last axis of x [2, 4]; got [5]",
                [](Tape& tape) {
                  const Parameter p = random_parameter("b", {5}, 1);
                  bias_gelu(tape.leaf(random_normal({2, 4}, 2)), p);
                }},
               {"bias_gelu: bias must be [C] with C the last axis of x [4]; got [4]",
                [](Tape& tape) {
                  const Parameter p = random_parameter("b", {4}, 1);
                  bias_gelu(tape.leaf(random_normal({4}, 2)), p);
                }},
               {"bias_gelu: computes in float32 or float64",
                [](Tape& tape) {
                  const Parameter p = random_parameter("b", {4}, 1);
                  bias_gelu(tape.leaf(Tensor::zeros({2, 4}, DType::int64)), p);
                }}},
    .bench = {sample("vit", {64, 65, 768})},
}};

}  // namespace
}  // namespace minnow::test
