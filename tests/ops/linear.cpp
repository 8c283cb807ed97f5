#include "tests/op_case.h"

namespace minnow::test {
namespace {

Tensor reference(const Tensor& x, const Tensor& w, const Tensor& bias) {
  const int64_t in = w.dim(1), out = w.dim(0), rows = x.numel() / in;
  Shape shape = x.shape();
  shape.back() = out;
  Tensor y = Tensor::zeros(shape, DType::float64);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t o = 0; o < out; ++o) {
      double sum = bias.defined() ? bias.data<double>()[o] : 0;
      for (int64_t i = 0; i < in; ++i) {
        sum += x.data<double>()[r * in + i] * w.data<double>()[o * in + i];
      }
      y.data<double>()[r * out + o] = sum;
    }
  }
  return y;
}

Sample sample(std::string label, Shape x, int64_t out, bool bias) {
  const int64_t in = x.back();
  Sample s;
  s.label = std::move(label);
  s.inputs = {x};
  s.parameters = {{out, in}};
  if (bias) s.parameters.push_back({out});
  s.forward = [=](Tape&, const Vars& v, const ParameterRefs& p, int64_t, int64_t) {
    return linear(v[0], *p[0], bias ? p[1] : nullptr);
  };
  s.reference = [=](const Tensors& v, const Tensors& p) {
    return reference(v[0], p[0], bias ? p[1] : Tensor());
  };
  // A dot product of `in` terms and the bias; backward sums over rows or outputs instead.
  s.terms = static_cast<double>(in + out + numel(x) / in) + 2;
  s.forward_work.flops = 2.0 * static_cast<double>(numel(x) * out);
  s.backward_work.flops = 2 * s.forward_work.flops;
  return s;
}

/// The weight is that of a pointwise convolution.
Sample pointwise(Sample s) {
  s.label = "pointwise";
  s.parameters[0].push_back(1);
  return s;
}

const RegisterOp linear_case{{
    .name = "linear",
    .samples = {sample("tokens", {5, 3, 4}, 6, true), sample("rows", {6, 7}, 3, false),
                sample("one_column", {4, 2, 1}, 1, true), sample("one_example", {1, 5}, 2, true),
                sample("many_tokens", {3, 40, 5}, 4, true),
                pointwise(sample("", {5, 3, 4}, 6, true))},
    .errors =
        {{"linear: weight must be [out, in] with in = 4, the input's last axis; got [3, 5]",
          [](Tape& tape) {
            const Parameter w = random_parameter("w", {3, 5}, 1);
            linear(tape.leaf(random_normal({2, 4}, 2)), w);
          }},
         {"linear: weight must be [out, in] with in = 4, the input's last axis; got [3, 5, 1]",
          [](Tape& tape) {
            const Parameter w = random_parameter("w", {3, 5, 1}, 1);
            linear(tape.leaf(random_normal({2, 4}, 2)), w);
          }},
         {"linear: bias must be [3]; got [4]",
          [](Tape& tape) {
            const Parameter w = random_parameter("w", {3, 4}, 1);
            const Parameter b = random_parameter("b", {4}, 1);
            linear(tape.leaf(random_normal({2, 4}, 2)), w, &b);
          }}},
    .bench = {sample("vit_fc1", {64, 65, 192}, 768, true),
              sample("vit_fc2", {64, 65, 768}, 192, true)},
}};

}  // namespace
}  // namespace minnow::test
