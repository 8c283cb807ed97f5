#include "tests/op_case.h"

namespace minnow::test {
namespace {

Tensor reference(const Tensor& a, const Tensor& b, bool ta, bool tb) {
  const int64_t m = a.dim(ta ? -1 : -2), k = a.dim(ta ? -2 : -1), n = b.dim(tb ? -2 : -1);
  Shape shape = a.shape();
  shape[shape.size() - 2] = m;
  shape.back() = n;
  Tensor y = Tensor::zeros(shape, DType::float64);
  for (int64_t i = 0; i < y.numel(); ++i) {
    const int64_t matrix = i / (m * n), row = i / n % m, column = i % n;
    const double* pa = a.data<double>() + matrix * m * k;
    const double* pb = b.data<double>() + matrix * k * n;
    for (int64_t p = 0; p < k; ++p) {
      y.data<double>()[i] +=
          pa[ta ? p * m + row : row * k + p] * pb[tb ? column * k + p : p * n + column];
    }
  }
  return y;
}

/// a [lead..., m, k] b [lead..., k, n].
Sample sample(std::string label, const Shape& lead, int64_t m, int64_t k, int64_t n,
              bool ta = false, bool tb = false) {
  const auto matrix = [&](int64_t rows, int64_t columns, bool transposed) {
    Shape s = lead;
    s.push_back(transposed ? columns : rows);
    s.push_back(transposed ? rows : columns);
    return s;
  };
  Sample s;
  s.label = std::move(label);
  s.inputs = {matrix(m, k, ta), matrix(k, n, tb)};
  s.forward = [=](Tape&, const Vars& v, const ParameterRefs&, int64_t, int64_t) {
    return matmul(v[0], v[1], ta, tb);
  };
  s.reference = [=](const Tensors& v, const Tensors&) { return reference(v[0], v[1], ta, tb); };
  s.terms = static_cast<double>(m + n + k);  // a dot product over k forwards, over m or n backwards
  s.forward_work.flops = 2 * static_cast<double>(numel(lead) * m * n * k);
  s.backward_work.flops = 2 * s.forward_work.flops;
  return s;
}

void refuse(Tape& tape, Shape a, Shape b, bool ta = false, bool tb = false,
            DType dtype_b = DType::float64) {
  matmul(tape.leaf(random_normal(a, 1)), tape.leaf(random_normal(b, 2, dtype_b)), ta, tb);
}

const RegisterOp matmul_case{{
    .name = "matmul",
    .samples = {sample("plain", {3}, 4, 5, 6), sample("transpose_a", {3}, 4, 5, 6, true),
                sample("transpose_b", {3}, 4, 5, 6, false, true),
                sample("transpose_both", {3}, 4, 5, 6, true, true),
                sample("heads", {2, 3}, 3, 2, 5), sample("one_row", {3}, 1, 4, 3),
                sample("one_column", {3}, 3, 4, 1, true),
                sample("one_term", {2}, 3, 1, 2, true, true), sample("one_example", {1}, 7, 3, 2),
                sample("no_terms", {2}, 3, 0, 2), sample("no_examples", {0}, 3, 2, 2)},
    .errors = {{"matmul: a and b must be [..., rows, columns] with equal leading axes, the example "
                "first; got [2, 3, 4] and [3, 4, 5]",
                [](Tape& tape) {
                  refuse(tape, {2, 3, 4}, {3, 4, 5});
                }},
               {"equal leading axes, the example first; got [3, 4] and [4, 5]",
                [](Tape& tape) {
                  refuse(tape, {3, 4}, {4, 5});
                }},
               {"matmul: a [2, 3, 4] and b (transposed) [2, 4, 5] must agree in the axis that is "
                "summed, 4; got 5",
                [](Tape& tape) {
                  refuse(tape, {2, 3, 4}, {2, 4, 5}, false, true);
                }},
               {"matmul: a and b must have one dtype; got float64 and float32",
                [](Tape& tape) {
                  refuse(tape, {2, 3, 4}, {2, 4, 5}, false, false, DType::float32);
                }}},
    .bench = {sample("vit_scores", {64, 3}, 65, 64, 65, false, true),
              sample("vit_values", {64, 3}, 65, 65, 64)},
}};

}  // namespace
}  // namespace minnow::test
