#include <cmath>
#include <numeric>

#include "tests/op_case.h"

namespace minnow::test {
namespace {

constexpr double eps = 1e-5;

/// Running statistics that no batch of these tests has.
double running_mean_of(int64_t c) {
  return 0.25 * static_cast<double>(c) - 0.5;
}
double running_var_of(int64_t c) {
  return 0.5 + 0.25 * static_cast<double>(c);
}

using Lengths = std::vector<int64_t>;

Tensor reference(const Tensor& x, Lengths lengths, const Tensor& weight, const Tensor& bias,
                 bool frozen) {
  const int64_t channels = x.dim(1), inner = x.numel() / (x.dim(0) * channels);
  if (lengths.empty()) lengths.assign(static_cast<size_t>(x.dim(0)), inner);
  const double count =
      static_cast<double>(std::accumulate(lengths.begin(), lengths.end(), int64_t{0}));
  Tensor y = Tensor::zeros(x.shape(), DType::float64);
  for (int64_t c = 0; c < channels; ++c) {
    const auto each = [&](auto f) {
      for (int64_t e = 0; e < x.dim(0); ++e) {
        for (int64_t k = 0; k < lengths[e]; ++k) f((e * channels + c) * inner + k);
      }
    };
    double mean = 0, variance = 0;
    each([&](int64_t i) { mean += x.data<double>()[i] / count; });
    each([&](int64_t i) { variance += std::pow(x.data<double>()[i] - mean, 2) / count; });
    if (frozen) {
      mean = running_mean_of(c);
      variance = running_var_of(c);
    }
    each([&](int64_t i) {
      y.data<double>()[i] =
          (x.data<double>()[i] - mean) / std::sqrt(variance + eps) * weight.data<double>()[c] +
          bias.data<double>()[c];
    });
  }
  return y;
}

Parameter running(int64_t channels, double (*of)(int64_t), DType dtype) {
  Tensor values = Tensor::empty({channels}, DType::float64);
  for (int64_t c = 0; c < channels; ++c) values.data<double>()[c] = of(c);
  return {.name = "running", .value = on_device(values.to(dtype)), .trainable = false};
}

Sample sample(std::string label, Shape x, bool frozen = false, Lengths lengths = {}) {
  Sample s;
  s.label = std::move(label);
  s.inputs = {x};
  s.parameters = {{x[1]}, {x[1]}};
  s.couples_examples = !frozen;
  s.forward = [=](Tape&, const Vars& v, const ParameterRefs& p, int64_t begin, int64_t end) {
    Tensor ends;
    if (!lengths.empty()) {
      ends = on_device(Tensor::from(lengths, {std::ssize(lengths)})).slice(begin, end);
    }
    const DType dtype = p[0]->value.dtype();
    const Parameter mean = running(x[1], running_mean_of, dtype);
    const Parameter var = running(x[1], running_var_of, dtype);
    return batchnorm(v[0], *p[0], *p[1], mean, var,
                     {.eps = eps, .frozen = frozen, .lengths = ends});
  };
  s.reference = [=](const Tensors& v, const Tensors& p) {
    return reference(v[0], lengths, p[0], p[1], frozen);
  };
  // Two sums over the batch, and what follows them.
  s.terms = 2 * static_cast<double>(numel(x) / x[1]) + 8;
  s.forward_work.bytes = 8.0 * static_cast<double>(numel(x));
  s.backward_work.bytes = 12.0 * static_cast<double>(numel(x));
  return s;
}

void refuse(Tape& tape, Shape x, Shape weight, const Lengths& lengths = {}) {
  const Parameter w = random_parameter("w", weight, 1),
                  mean = running(4, running_mean_of, w.value.dtype());
  tape.set_random({.seed = 1, .step = 0, .example_ids = {}, .training = true});
  BatchNormOptions options;
  if (!lengths.empty()) options.lengths = Tensor::from(lengths, {std::ssize(lengths)});
  batchnorm(tape.leaf(random_normal(x, 2)), w, w, mean, mean, options);
}

const RegisterOp batchnorm_case{{
    .name = "batchnorm",
    .samples = {sample("odd", {5, 3, 3, 5}), sample("pairs", {4, 2, 2}), sample("wide", {3, 4, 40}),
                sample("one_example", {1, 2, 3, 3}), sample("one_channel", {4, 1, 7}),
                sample("frozen", {5, 3, 3, 5}, true), sample("frozen_no_rest", {5, 6}, true),
                sample("ragged", {4, 3, 9}, false, {9, 0, 2, 5}),
                sample("ragged_wide", {3, 2, 300}, false, {299, 300, 7}),
                sample("ragged_frozen", {3, 2, 6}, true, {6, 1, 4})},
    .errors = {{"batchnorm: x must be [B, C, rest...]; got [4]",
                [](Tape& tape) { refuse(tape, {4}, {4}); }},
               {"batchnorm: weight, bias and running statistics must be [C] with C = 4, the "
                "input's second axis; got [3]",
                [](Tape& tape) {
                  refuse(tape, {2, 4, 3}, {3});
                }},
               {"batchnorm: lengths are those of x [B, C, T]; got [2, 4, 3, 3]",
                [](Tape& tape) {
                  refuse(tape, {2, 4, 3, 3}, {4}, {1, 1});
                }},
               {"batchnorm: lengths must lie in [0, T] with T = 3; got 4 for example 1",
                [](Tape& tape) {
                  refuse(tape, {2, 4, 3}, {4}, {1, 4});
                }},
               {"batchnorm: x must not be empty; got [0, 4, 3]",
                [](Tape& tape) {
                  refuse(tape, {0, 4, 3}, {4});
                }},
               {"batchnorm: a variance needs two values of a channel; a micro-batch of one example "
                "has one in x [1, 4, 1]",
                [](Tape& tape) {
                  refuse(tape, {1, 4}, {4});
                }}},
    .bench = {sample("resnet20", {128, 16, 32, 32}), sample("resnet50", {32, 256, 14, 14})},
}};

}  // namespace
}  // namespace minnow::test
