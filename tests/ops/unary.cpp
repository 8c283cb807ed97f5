#include <cmath>

#include "tests/op_case.h"

namespace minnow::test {
namespace {

using Op = Var (*)(const Var&);

/// `kink`: the function has no derivative at 0, so that inputs stay away from it.
OpCase unary_case(std::string name, Op op, double (*f)(double), bool kink = false) {
  const auto sample = [=](std::string label, Shape shape) {
    Sample s;
    s.label = std::move(label);
    s.inputs = {shape};
    s.forward = [=](Tape&, const Vars& v, const ParameterRefs&, int64_t, int64_t) {
      return op(v[0]);
    };
    s.reference = [=](const Tensors& v, const Tensors&) { return map(v[0], f); };
    if (kink) {
      s.adjust = [](const Tensors& v) {
        for (int64_t i = 0; i < v[0].numel(); ++i) {
          double& x = v[0].data<double>()[i];
          x += x < 0 ? -0.1 : 0.1;
        }
      };
    }
    s.terms = 6;
    s.forward_work.bytes = 8.0 * static_cast<double>(numel(shape));
    s.backward_work.bytes = 12.0 * static_cast<double>(numel(shape));
    return s;
  };
  return {.name = name,
          .samples = {sample("odd", {3, 5, 7}), sample("one", {1, 1}), sample("empty", {2, 0})},
          .errors = {{name + ": computes in float32 or float64; got uint8",
                      [=](Tape& tape) {
                        op(tape.leaf(Tensor::zeros({2, 3}, DType::uint8)));
                      }}},
          .bench = {sample("vit", {64, 65, 768})}};
}

double logistic(double x) {
  return 1 / (1 + std::exp(-x));
}

const RegisterOp relu_case{unary_case(
    "relu", relu, [](double x) { return x > 0 ? x : 0; }, true)};
const RegisterOp gelu_case{unary_case(
    "gelu", gelu, [](double x) { return x * 0.5 * (1 + std::erf(x / std::sqrt(2.0))); })};
const RegisterOp gelu_tanh_case{unary_case("gelu_tanh", gelu_tanh, [](double x) {
  return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
})};
const RegisterOp silu_case{unary_case("silu", silu, [](double x) { return x * logistic(x); })};
const RegisterOp sigmoid_case{unary_case("sigmoid", sigmoid, logistic)};

}  // namespace
}  // namespace minnow::test
