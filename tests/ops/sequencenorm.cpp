#include <cmath>

#include "tests/op_case.h"

namespace minnow::test {
namespace {

using Lengths = std::vector<int64_t>;
constexpr double eps = 1e-3;

Tensor reference(const Tensor& x, const Lengths& lengths, const Tensor& weight,
                 const Tensor& bias) {
  const int64_t frames = x.dim(1), channels = x.dim(2);
  Tensor y = Tensor::zeros(x.shape(), DType::float64);
  for (int64_t b = 0; b < x.dim(0); ++b) {
    const double* in = x.data<double>() + b * frames * channels;
    const int64_t size = (lengths.empty() ? frames : lengths[b]) * channels;
    double mean = 0, var = 0;
    for (int64_t i = 0; i < size; ++i) mean += in[i] / static_cast<double>(size);
    for (int64_t i = 0; i < size; ++i) {
      var += (in[i] - mean) * (in[i] - mean) / static_cast<double>(size);
    }
    for (int64_t i = 0; i < size; ++i) {
      y.data<double>()[b * frames * channels + i] =
          (in[i] - mean) / std::sqrt(var + eps) * weight.data<double>()[i % channels] +
          bias.data<double>()[i % channels];
    }
  }
  return y;
}

Sample sample(std::string label, Shape x, Lengths lengths = {}) {
  Sample s;
  s.label = std::move(label);
  s.inputs = {x};
  s.parameters = {{x[2]}, {x[2]}};
  s.forward = [=](Tape&, const Vars& v, const ParameterRefs& p, int64_t begin, int64_t end) {
    Tensor ends;
    if (!lengths.empty())
      ends = on_device(Tensor::from(lengths, {std::ssize(lengths)})).slice(begin, end);
    return sequencenorm(v[0], ends, *p[0], *p[1], eps);
  };
  s.reference = [=](const Tensors& v, const Tensors& p) {
    return reference(v[0], lengths, p[0], p[1]);
  };
  // Two sums over an example, and the parameters' over all frames.
  s.terms = static_cast<double>(2 * x[1] * x[2] + x[0] * x[1]) + 16;
  s.forward_work.bytes = 8.0 * static_cast<double>(numel(x));
  s.backward_work.bytes = 12.0 * static_cast<double>(numel(x));
  return s;
}

void refuse(Tape& tape, Shape x, Shape weight, const Tensor& lengths) {
  const Parameter w = random_parameter("w", weight, 1), b = random_parameter("b", {x.back()}, 2);
  sequencenorm(tape.leaf(random_normal(x, 3)), lengths, w, b);
}

const RegisterOp sequencenorm_case{{
    .name = "sequencenorm",
    .samples = {sample("odd", {3, 5, 7}), sample("ragged", {4, 6, 3}, {6, 0, 2, 5}),
                sample("wide", {2, 3, 300}, {2, 3}), sample("one_column", {3, 9, 1}, {4, 9, 7}),
                sample("one_example", {1, 4, 5}, {3}), sample("no_frames", {2, 0, 4}),
                sample("no_examples", {0, 3, 4})},
    .errors = {{"sequencenorm: x must be [B, T, C]; got [2, 4]",
                [](Tape& tape) {
                  refuse(tape, {2, 4}, {4}, {});
                }},
               {"sequencenorm: weight and bias must be [C] with C = 4, the input's last axis; got "
                "[3]",
                [](Tape& tape) {
                  refuse(tape, {2, 3, 4}, {3}, {});
                }},
               {"sequencenorm: lengths must lie in [0, T] with T = 3; got 4 for example 0",
                [](Tape& tape) {
                  refuse(tape, {2, 3, 4}, {4}, Tensor::from<int64_t>(Lengths{4, 1}, {2}));
                }}},
    .bench = {sample("conformer", {16, 75, 144})},
}};

}  // namespace
}  // namespace minnow::test
