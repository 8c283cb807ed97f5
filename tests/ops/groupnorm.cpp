#include <cmath>

#include "tests/op_case.h"

namespace minnow::test {
namespace {

Tensor reference(const Tensor& x, int64_t groups, const Tensor& weight, const Tensor& bias) {
  const int64_t channels = x.dim(1), inner = x.numel() / std::max<int64_t>(x.dim(0) * channels, 1);
  const int64_t size = channels / groups * inner;
  const auto count = static_cast<double>(size);
  Tensor y = Tensor::empty(x.shape(), DType::float64);
  for (int64_t begin = 0; begin < x.numel(); begin += size) {
    const double* group = x.data<double>() + begin;
    double mean = 0, variance = 0;
    for (int64_t i = 0; i < size; ++i) mean += group[i] / count;
    for (int64_t i = 0; i < size; ++i) variance += (group[i] - mean) * (group[i] - mean) / count;
    for (int64_t i = 0; i < size; ++i) {
      const int64_t c = (begin + i) / inner % channels;
      y.data<double>()[begin + i] = (group[i] - mean) / std::sqrt(variance + 1e-5) *
                                        (weight.defined() ? weight.data<double>()[c] : 1) +
                                    (bias.defined() ? bias.data<double>()[c] : 0);
    }
  }
  return y;
}

enum class Affine { none, weight, both };

Sample sample(std::string label, Shape x, int64_t groups, Affine affine = Affine::both) {
  Sample s;
  s.label = std::move(label);
  s.inputs = {x};
  if (affine != Affine::none) s.parameters.push_back({x[1]});
  if (affine == Affine::both) s.parameters.push_back({x[1]});
  s.forward = [=](Tape&, const Vars& v, const ParameterRefs& p, int64_t, int64_t) {
    return groupnorm(v[0], groups, affine == Affine::none ? nullptr : p[0],
                     affine == Affine::both ? p[1] : nullptr);
  };
  s.reference = [=](const Tensors& v, const Tensors& p) {
    return reference(v[0], groups, affine == Affine::none ? Tensor() : p[0],
                     affine == Affine::both ? p[1] : Tensor());
  };
  // Two sums over the group, and what follows them.
  const int64_t each = numel(x) / std::max<int64_t>(x[0] * groups, 1);
  s.terms = 2 * static_cast<double>(each) + 8;
  s.forward_work.bytes = 8.0 * static_cast<double>(numel(x));
  s.backward_work.bytes = 12.0 * static_cast<double>(numel(x));
  return s;
}

void refuse(Tape& tape, Shape x, int64_t groups, Shape weight) {
  const Parameter w = random_parameter("w", weight, 1);
  groupnorm(tape.leaf(random_normal(x, 2)), groups, &w, nullptr);
}

const RegisterOp groupnorm_case{{
    .name = "groupnorm",
    .samples = {sample("odd", {4, 6, 3, 5}, 3), sample("one_group", {3, 4, 7}, 1),
                sample("instance", {3, 3, 2, 5}, 3), sample("no_rest", {5, 6}, 2),
                sample("plain", {3, 4, 5}, 2, Affine::none),
                sample("weight_only", {3, 4, 5}, 2, Affine::weight),
                sample("one_example", {1, 2, 3, 3}, 1)},
    .errors =
        {{"groupnorm: x must be [B, C, rest...]; got [4]",
          [](Tape& tape) { refuse(tape, {4}, 1, {4}); }},
         {"groupnorm: C = 4 must be divisible by groups; got 3",
          [](Tape& tape) {
            refuse(tape, {2, 4, 3}, 3, {4});
          }},
         {"groupnorm: C = 4 must be divisible by groups; got 0",
          [](Tape& tape) {
            refuse(tape, {2, 4, 3}, 0, {4});
          }},
         {"groupnorm: weight and bias must be [C] with C = 4, the input's second axis; got [3]",
          [](Tape& tape) {
            refuse(tape, {2, 4, 3}, 2, {3});
          }}},
    .bench = {sample("convnet", {64, 64, 32, 32}, 8)},
}};

}  // namespace
}  // namespace minnow::test
