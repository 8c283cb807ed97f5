#include "tests/op_case.h"

namespace minnow::test {
namespace {

Sample sample(std::string label, Shape x) {
  Sample s;
  s.label = std::move(label);
  s.inputs = {x};
  s.forward = [](Tape&, const Vars& v, const ParameterRefs&, int64_t, int64_t) {
    return transpose(v[0]);
  };
  s.reference = [](const Tensors& v, const Tensors&) {
    const int64_t rows = v[0].dim(1), columns = v[0].dim(2);
    Tensor y = Tensor::empty({v[0].dim(0), columns, rows}, DType::float64);
    for (int64_t at = 0; at < y.numel(); ++at) {
      const int64_t e = at / (rows * columns), j = at / rows % columns, i = at % rows;
      y.data<double>()[at] = v[0].data<double>()[(e * rows + i) * columns + j];
    }
    return y;
  };
  s.terms = 1;
  s.forward_work.bytes = s.backward_work.bytes = 8.0 * static_cast<double>(numel(x));
  return s;
}

const RegisterOp transpose_case{{
    .name = "transpose",
    .samples = {sample("odd", {3, 5, 7}), sample("tiles", {2, 35, 67}), sample("row", {2, 1, 9}),
                sample("column", {2, 9, 1}), sample("empty", {2, 0, 3})},
    .errors = {{"transpose: x must be [B, M, N]; got [2, 3]",
                [](Tape& tape) {
                  transpose(tape.leaf(random_normal({2, 3}, 1)));
                }}},
    .bench = {sample("convnext", {64, 96, 784})},
}};

}  // namespace
}  // namespace minnow::test
