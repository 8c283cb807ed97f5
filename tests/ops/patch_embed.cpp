#include "tests/op_case.h"

namespace minnow::test {
namespace {

Tensor reference(const Tensor& x, const Tensor& w, const Tensor& bias) {
  const int64_t channels = x.dim(1), height = x.dim(2), width = x.dim(3);
  const int64_t out = w.dim(0), p = w.dim(2), rows = height / p, columns = width / p;
  Tensor y = Tensor::zeros({x.dim(0), rows * columns, out}, DType::float64);
  double* at = y.data<double>();
  for (int64_t i = 0; i < y.numel(); ++i) {
    const int64_t d = i % out, token = i / out % (rows * columns), b = i / out / (rows * columns);
    const int64_t top = token / columns * p, left = token % columns * p;
    if (bias.defined()) at[i] = bias.data<double>()[d];
    for (int64_t c = 0; c < channels; ++c) {
      for (int64_t k = 0; k < p * p; ++k) {
        at[i] +=
            x.data<double>()[((b * channels + c) * height + top + k / p) * width + left + k % p] *
            w.data<double>()[(d * channels + c) * p * p + k];
      }
    }
  }
  return y;
}

Sample sample(std::string label, Shape x, int64_t out, int64_t p, bool bias = true) {
  const int64_t in = x[1] * p * p, rows = x[0] * (x[2] / p) * (x[3] / p);
  Sample s;
  s.label = std::move(label);
  s.inputs = {x};
  s.parameters = {{out, x[1], p, p}};
  if (bias) s.parameters.push_back({out});
  s.forward = [=](Tape&, const Vars& v, const ParameterRefs& q, int64_t, int64_t) {
    return patch_embed(v[0], *q[0], bias ? q[1] : nullptr);
  };
  s.reference = [=](const Tensors& v, const Tensors& q) {
    return reference(v[0], q[0], bias ? q[1] : Tensor());
  };
  s.terms = static_cast<double>(in + out + rows) + 1;  // the dot products of linear
  s.forward_work.flops = 2 * static_cast<double>(rows * in * out);
  s.backward_work.flops = 2 * s.forward_work.flops;
  return s;
}

void refuse(Tape& tape, Shape x, Shape w, Shape bias) {
  const Parameter weight = random_parameter("w", w, 1), b = random_parameter("b", bias, 2);
  patch_embed(tape.leaf(random_normal(x, 3)), weight, &b);
}

const RegisterOp patch_embed_case{{
    .name = "patch_embed",
    .samples = {sample("odd", {3, 2, 6, 9}, 5, 3), sample("one_patch", {4, 3, 2, 2}, 2, 2),
                sample("pixels", {3, 2, 2, 3}, 3, 1, false),
                sample("one_column", {2, 1, 6, 2}, 1, 2),
                sample("one_example", {1, 3, 4, 4}, 4, 2)},
    .errors = {{"patch_embed: x must be [B, C, H, W]; got [2, 3, 4]",
                [](Tape& tape) {
                  refuse(tape, {2, 3, 4}, {5, 3, 2, 2}, {5});
                }},
               {"patch_embed: weight must be [D, C, p, p] with C = 3, the channels of x; got [5, "
                "2, 2, 2]",
                [](Tape& tape) {
                  refuse(tape, {2, 3, 4, 4}, {5, 2, 2, 2}, {5});
                }},
               {"patch_embed: weight must be [D, C, p, p] with C = 3, the channels of x; got [5, "
                "3, 2, 1]",
                [](Tape& tape) {
                  refuse(tape, {2, 3, 4, 4}, {5, 3, 2, 1}, {5});
                }},
               {"patch_embed: height and width must be divisible by p = 3; got 6 x 4",
                [](Tape& tape) {
                  refuse(tape, {2, 3, 6, 4}, {5, 3, 3, 3}, {5});
                }},
               {"patch_embed: bias must be [5]; got [4]",
                [](Tape& tape) {
                  refuse(tape, {2, 3, 4, 4}, {5, 3, 2, 2}, {4});
                }}},
    .bench = {sample("vit_tiny", {64, 3, 32, 32}, 192, 4),
              sample("vit_224", {16, 3, 224, 224}, 192, 16)},
}};

}  // namespace
}  // namespace minnow::test
