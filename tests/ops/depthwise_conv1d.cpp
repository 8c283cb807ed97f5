#include "tests/op_case.h"

namespace minnow::test {
namespace {

Tensor reference(const Tensor& x, const Tensor& w, const Tensor& bias) {
  const int64_t frames = x.dim(1), channels = x.dim(2), kernel = w.dim(2);
  Tensor y = Tensor::empty(x.shape(), DType::float64);
  for (int64_t i = 0; i < y.numel(); ++i) {
    const int64_t c = i % channels, t = i / channels % frames, b = i / channels / frames;
    double sum = bias.defined() ? bias.data<double>()[c] : 0;
    for (int64_t u = 0; u < kernel; ++u) {
      const int64_t from = t + u - (kernel - 1) / 2;
      if (from < 0 || from >= frames) continue;
      sum +=
          w.data<double>()[c * kernel + u] * x.data<double>()[(b * frames + from) * channels + c];
    }
    y.data<double>()[i] = sum;
  }
  return y;
}

Sample sample(std::string label, Shape x, int64_t kernel, bool bias = true) {
  Sample s;
  s.label = std::move(label);
  s.inputs = {x};
  s.parameters = {{x[2], 1, kernel}};
  if (bias) s.parameters.push_back({x[2]});
  s.forward = [=](Tape&, const Vars& v, const ParameterRefs& p, int64_t, int64_t) {
    return depthwise_conv1d(v[0], *p[0], bias ? p[1] : nullptr);
  };
  s.reference = [=](const Tensors& v, const Tensors& p) {
    return reference(v[0], p[0], bias ? p[1] : Tensor());
  };
  // k products and the bias; a parameter's gradient sums over the frames of all examples.
  s.terms = static_cast<double>(kernel + x[0] * x[1]) + 2;
  s.forward_work.flops = 2.0 * static_cast<double>(numel(x) * kernel);
  s.backward_work.flops = 2 * s.forward_work.flops;
  return s;
}

void refuse(Tape& tape, Shape x, Shape weight, Shape bias) {
  const Parameter w = random_parameter("w", weight, 1), b = random_parameter("b", bias, 2);
  depthwise_conv1d(tape.leaf(random_normal(x, 3)), w, &b);
}

const RegisterOp depthwise_case{{
    .name = "depthwise_conv1d",
    // More channels than one strip of either backend, more frames than one block, kernels longer
    // than the frames and than a block's taps.
    .samples = {sample("odd", {3, 7, 5}, 3), sample("strips", {2, 9, 37}, 5),
                sample("one_tap", {4, 3, 6}, 1), sample("one_frame", {3, 1, 4}, 7),
                sample("one_column", {5, 6, 1}, 3, false), sample("one_example", {1, 11, 16}, 7),
                sample("many_frames", {2, 131, 3}, 9, false), sample("long", {2, 70, 2}, 37),
                sample("no_frames", {2, 0, 4}, 3), sample("no_examples", {0, 3, 4}, 3)},
    .errors = {{"depthwise_conv1d: x must be [B, T, C]; got [2, 4]",
                [](Tape& tape) {
                  refuse(tape, {2, 4}, {4, 1, 3}, {4});
                }},
               {"depthwise_conv1d: weight must be [C, 1, k] with C = 4, the last axis of x, and k "
                "odd; got [4, 1, 2]",
                [](Tape& tape) {
                  refuse(tape, {2, 3, 4}, {4, 1, 2}, {4});
                }},
               {"depthwise_conv1d: weight must be [C, 1, k] with C = 4, the last axis of x, and k "
                "odd; got [5, 1, 3]",
                [](Tape& tape) {
                  refuse(tape, {2, 3, 4}, {5, 1, 3}, {4});
                }},
               {"depthwise_conv1d: weight must be [C, 1, k] with C = 4, the last axis of x, and k "
                "odd; got [4, 2, 3]",
                [](Tape& tape) {
                  refuse(tape, {2, 3, 4}, {4, 2, 3}, {4});
                }},
               {"depthwise_conv1d: bias must be [4]; got [3]",
                [](Tape& tape) {
                  refuse(tape, {2, 3, 4}, {4, 1, 3}, {3});
                }},
               {"depthwise_conv1d: computes in float32 or float64; got int64",
                [](Tape& tape) {
                  const Parameter w = random_parameter("w", {4, 1, 3}, 1);
                  depthwise_conv1d(tape.leaf(Tensor::zeros({2, 3, 4}, DType::int64)), w, nullptr);
                }}},
    .bench = {sample("conformer", {16, 75, 144}, 31), sample("long", {16, 400, 256}, 31)},
}};

}  // namespace
}  // namespace minnow::test
