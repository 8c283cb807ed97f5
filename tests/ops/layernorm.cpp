#include <cmath>

#include "tests/op_case.h"

namespace minnow::test {
namespace {

Tensor reference(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps) {
  const int64_t width = x.dim(-1);
  Tensor y = Tensor::empty(x.shape(), DType::float64);
  for (int64_t r = 0; r < x.numel() / width; ++r) {
    const double* row = x.data<double>() + r * width;
    double mean = 0, variance = 0;
    for (int64_t i = 0; i < width; ++i) mean += row[i] / static_cast<double>(width);
    for (int64_t i = 0; i < width; ++i) {
      variance += (row[i] - mean) * (row[i] - mean) / static_cast<double>(width);
    }
    for (int64_t i = 0; i < width; ++i) {
      const double normal = (row[i] - mean) / std::sqrt(variance + eps);
      y.data<double>()[r * width + i] = normal * (weight.defined() ? weight.data<double>()[i] : 1) +
                                        (bias.defined() ? bias.data<double>()[i] : 0);
    }
  }
  return y;
}

Sample sample(std::string label, Shape x, bool affine) {
  const int64_t width = x.back();
  Sample s;
  s.label = std::move(label);
  s.inputs = {x};
  if (affine) s.parameters = {{width}, {width}};
  s.forward = [=](Tape&, const Vars& in, const ParameterRefs& p, int64_t, int64_t) {
    return layernorm(in[0], affine ? p[0] : nullptr, affine ? p[1] : nullptr, 1e-5);
  };
  s.reference = [=](const Tensors& in, const Tensors& p) {
    return reference(in[0], affine ? p[0] : Tensor(), affine ? p[1] : Tensor(), 1e-5);
  };
  // Two sums over the row, and what follows them.
  s.terms = 2 * static_cast<double>(width) + 8;
  // Reads x and writes y; backward reads x and gy and writes gx.
  s.forward_work.bytes = 8.0 * static_cast<double>(numel(x));
  s.backward_work.bytes = 12.0 * static_cast<double>(numel(x));
  return s;
}

const RegisterOp layernorm_case{{
    .name = "layernorm",
    .samples = {sample("rows", {4, 3, 7}, true), sample("plain", {5, 16}, false),
                sample("one_example", {1, 2, 5}, true), sample("two_columns", {3, 2}, true),
                // Enough rows an example that their sums are taken in pieces.
                sample("many_rows", {2, 40, 3}, true)},
    .errors = {{"layernorm: weight and bias must be [D] with D = 4",
                [](Tape& tape) {
                  const Parameter p = random_parameter("w", {5}, 1);
                  layernorm(tape.leaf(random_normal({2, 4}, 2)), &p, nullptr);
                }},
               {"layernorm: computes in float32 or float64; got int64",
                [](Tape& tape) {
                  layernorm(tape.leaf(Tensor::zeros({2, 4}, DType::int64)), nullptr, nullptr);
                }}},
    .bench = {sample("vit", {64, 65, 192}, true)},
}};

}  // namespace
}  // namespace minnow::test
