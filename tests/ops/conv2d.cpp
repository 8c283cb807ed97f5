#include "tests/op_case.h"

namespace minnow::test {
namespace {

int64_t extent(int64_t size, int64_t kernel, const Conv2dOptions& o) {
  return (size + 2 * o.padding - o.dilation * (kernel - 1) - 1) / o.stride + 1;
}

Tensor reference(const Tensor& x, const Tensor& w, const Tensor& bias, const Conv2dOptions& o) {
  const int64_t channels = x.dim(1), height = x.dim(2), width = x.dim(3), filters = w.dim(0);
  const int64_t each = w.dim(1), kh = w.dim(2), kw = w.dim(3);
  const int64_t out_h = extent(height, kh, o), out_w = extent(width, kw, o);
  Tensor y = Tensor::zeros({x.dim(0), filters, out_h, out_w}, DType::float64);
  for (int64_t i = 0; i < y.numel(); ++i) {
    const int64_t column = i % out_w, row = i / out_w % out_h, f = i / out_w / out_h % filters;
    const int64_t b = i / out_w / out_h / filters, first = f / (filters / o.groups) * each;
    double& sum = y.data<double>()[i];
    if (bias.defined()) sum = bias.data<double>()[f];
    for (int64_t k = 0; k < each * kh * kw; ++k) {
      const int64_t c = k / kw / kh, u = k / kw % kh, v = k % kw;
      const int64_t h = row * o.stride + u * o.dilation - o.padding;
      const int64_t at = column * o.stride + v * o.dilation - o.padding;
      if (h < 0 || h >= height || at < 0 || at >= width) continue;
      sum += w.data<double>()[f * each * kh * kw + k] *
             x.data<double>()[((b * channels + first + c) * height + h) * width + at];
    }
  }
  return y;
}

Sample sample(std::string label, Shape x, Shape w, Conv2dOptions o = {}, bool bias = true) {
  const int64_t out = extent(x[2], w[2], o) * extent(x[3], w[3], o), taps = w[1] * w[2] * w[3];
  Sample s;
  s.label = std::move(label);
  s.inputs = {x};
  s.parameters = {w};
  if (bias) s.parameters.push_back({w[0]});
  s.forward = [=](Tape&, const Vars& v, const ParameterRefs& p, int64_t, int64_t) {
    return conv2d(v[0], *p[0], bias ? p[1] : nullptr, o);
  };
  s.reference = [=](const Tensors& v, const Tensors& p) {
    return reference(v[0], p[0], bias ? p[1] : Tensor(), o);
  };
  // A dot product of the filter's taps and the bias; backward sums over filters and taps, or over
  // all outputs.
  s.terms = static_cast<double>(taps + w[0] * w[2] * w[3] + x[0] * out) + 2;
  s.forward_work.flops = 2 * static_cast<double>(x[0] * w[0] * out * taps);
  s.backward_work.flops = 2 * s.forward_work.flops;
  return s;
}

/// One weight used twice: its gradient is a sum that goes on.
Sample twice_sample(Shape x, Shape w, Conv2dOptions o) {
  Sample s = sample("twice", x, w, o, false);
  s.forward = [=](Tape&, const Vars& v, const ParameterRefs& p, int64_t, int64_t) {
    return conv2d(conv2d(v[0], *p[0], nullptr, o), *p[0], nullptr, o);
  };
  s.reference = [=](const Tensors& v, const Tensors& p) {
    return reference(reference(v[0], p[0], {}, o), p[0], {}, o);
  };
  s.terms *= 2;
  return s;
}

void refuse(Tape& tape, Shape x, Shape w, Conv2dOptions o = {}, Shape bias = {4}) {
  const Parameter weight = random_parameter("w", w, 1), b = random_parameter("b", bias, 2);
  conv2d(tape.leaf(random_normal(x, 3)), weight, &b, o);
}

using Options = Conv2dOptions;

const RegisterOp conv2d_case{{
    .name = "conv2d",
    .samples =
        {sample("same", {3, 2, 5, 4}, {3, 2, 3, 3}, Options{.padding = 1}),
         sample("valid", {3, 2, 5, 7}, {4, 2, 2, 3}, {}, false),
         sample("stride", {4, 3, 7, 6}, {2, 3, 3, 3}, Options{.stride = 2, .padding = 1}),
         sample("dilation", {2, 2, 7, 8}, {3, 2, 3, 2},
                Options{.stride = 1, .padding = 2, .dilation = 3}),
         sample("groups", {3, 6, 4, 5}, {4, 3, 3, 3}, Options{.padding = 1, .groups = 2}),
         sample("pointwise", {5, 3, 3, 4}, {4, 3, 1, 1}),
         sample("pointwise_groups", {3, 4, 2, 3}, {6, 2, 1, 1}, Options{.groups = 2}),
         sample("pointwise_stride", {3, 3, 5, 4}, {2, 3, 1, 1}, Options{.stride = 2}),
         sample("depthwise", {4, 3, 5, 6}, {3, 1, 3, 3}, Options{.padding = 1, .groups = 3}),
         sample("depthwise_twice", {3, 2, 6, 7}, {4, 1, 3, 5},
                Options{.stride = 2, .padding = 2, .dilation = 1, .groups = 2}),
         sample("depthwise_dilation", {2, 2, 7, 7}, {2, 1, 3, 3},
                Options{.stride = 3, .padding = 1, .dilation = 2, .groups = 2}, false),
         sample("one_channel", {3, 1, 4, 5}, {2, 1, 3, 2}, Options{.padding = 1}),
         sample("all_padding", {2, 2, 1, 1}, {2, 2, 3, 3}, Options{.stride = 2, .padding = 3}),
         sample("one_row", {3, 2, 1, 6}, {3, 2, 1, 3}, Options{}),
         sample("one_column", {3, 2, 6, 1}, {3, 2, 3, 1}, Options{.stride = 2}),
         sample("one_example", {1, 2, 4, 4}, {3, 2, 3, 3}, Options{.padding = 1}),
         sample("seven", {2, 2, 4, 5}, {1, 2, 7, 7}, Options{.stride = 2, .padding = 3}),
         sample("everything", {2, 4, 5, 4}, {4, 2, 3, 3},
                Options{.stride = 2, .padding = 2, .dilation = 2, .groups = 2}),
         // Channels that fill 16 bytes, of float and of bfloat16: libraries have faster ways.
         sample("four_channels", {2, 4, 4, 4}, {4, 4, 3, 3}, Options{.padding = 1}, false),
         sample("eight_channels", {2, 8, 2, 3}, {8, 8, 2, 2}),
         twice_sample({2, 2, 4, 3}, {2, 2, 3, 3}, Options{.padding = 1})},
    .errors =
        {{"conv2d: x must be [B, C, H, W]; got [2, 3, 4]",
          [](Tape& tape) { refuse(tape, {2, 3, 4}, {4, 3, 1, 1}); }},
         {"conv2d: stride and dilation must be positive and padding not negative; got 0, 1 and 0",
          [](Tape& tape) {
            refuse(tape, {2, 3, 4, 4}, {4, 3, 1, 1}, Options{.stride = 0});
          }},
         {"conv2d: C = 3 must be divisible by groups; got 2",
          [](Tape& tape) { refuse(tape, {2, 3, 4, 4}, {4, 1, 1, 1}, Options{.groups = 2}); }},
         {"conv2d: weight must be [F, C / groups, kh, kw] with C / groups = 2; got [4, 4, 3, 3]",
          [](Tape& tape) {
            refuse(tape, {2, 4, 4, 4}, {4, 4, 3, 3}, Options{.groups = 2});
          }},
         {"conv2d: F = 3 must be divisible by groups; got 2",
          [](Tape& tape) { refuse(tape, {2, 4, 4, 4}, {3, 2, 3, 3}, Options{.groups = 2}); }},
         {"conv2d: the dilated kernel must fit into the padded image, 4 x 5; got 5 x 5",
          [](Tape& tape) {
            refuse(tape, {2, 3, 4, 5}, {4, 3, 3, 3}, Options{.dilation = 2});
          }},
         {"conv2d: bias must be [4]; got [3]",
          [](Tape& tape) { refuse(tape, {2, 3, 4, 4}, {4, 3, 3, 3}, {}, {3}); }}},
    .bench = {sample("resnet_3x3", {64, 64, 32, 32}, {64, 64, 3, 3}, Options{.padding = 1}, false),
              sample("resnet_deep", {64, 256, 8, 8}, {256, 256, 3, 3}, Options{.padding = 1},
                     false),
              sample("pointwise", {64, 64, 32, 32}, {128, 64, 1, 1}, {}, false),
              sample("depthwise", {64, 64, 32, 32}, {64, 1, 3, 3},
                     Options{.padding = 1, .groups = 64}, false)},
}};

}  // namespace
}  // namespace minnow::test
