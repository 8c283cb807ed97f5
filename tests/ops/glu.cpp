#include <cmath>

#include "tests/op_case.h"

namespace minnow::test {
namespace {

Tensor reference(const Tensor& x) {
  const int64_t width = x.dim(-1) / 2;
  Shape shape = x.shape();
  shape.back() = width;
  Tensor y = Tensor::empty(shape, DType::float64);
  for (int64_t i = 0; i < y.numel(); ++i) {
    const double* value = x.data<double>() + i / width * 2 * width + i % width;
    y.data<double>()[i] = value[0] / (1 + std::exp(-value[width]));
  }
  return y;
}

Sample sample(std::string label, Shape x) {
  Sample s;
  s.label = std::move(label);
  s.inputs = {x};
  s.forward = [](Tape&, const Vars& v, const ParameterRefs&, int64_t, int64_t) {
    return glu(v[0]);
  };
  s.reference = [](const Tensors& v, const Tensors&) { return reference(v[0]); };
  s.terms = 6;  // the exponential's 2, a sum, a quotient, a product
  // Forward reads x and writes half as much; backward reads x and gy and writes gx.
  s.forward_work.bytes = 6.0 * static_cast<double>(numel(x));
  s.backward_work.bytes = 10.0 * static_cast<double>(numel(x));
  return s;
}

const RegisterOp glu_case{{
    .name = "glu",
    .samples = {sample("odd", {3, 5, 14}), sample("one_column", {4, 2}),
                sample("one_example", {1, 22}), sample("no_columns", {3, 0}),
                sample("no_rows", {2, 0, 4})},
    .errors =
        {{"glu: x must be [..., 2 C] with a leading example axis and an even last axis; got "
          "[2, 5]",
          [](Tape& tape) {
            glu(tape.leaf(random_normal({2, 5}, 1)));
          }},
         {"glu: x must be [..., 2 C] with a leading example axis and an even last axis; got [4]",
          [](Tape& tape) { glu(tape.leaf(random_normal({4}, 1))); }},
         {"glu: computes in float32 or float64; got int64",
          [](Tape& tape) {
            glu(tape.leaf(Tensor::zeros({2, 4}, DType::int64)));
          }}},
    .bench = {sample("conformer", {32, 200, 512})},
}};

}  // namespace
}  // namespace minnow::test
