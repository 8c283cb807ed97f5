#include <cmath>
#include <limits>

#include "tests/op_case.h"

namespace minnow::test {
namespace {

constexpr double minus_infinity = -std::numeric_limits<double>::infinity();

Tensor reference(const Tensor& x, bool log) {
  const int64_t width = x.dim(-1);
  Tensor y = Tensor::empty(x.shape(), DType::float64);
  for (int64_t i = 0; i < x.numel(); ++i) {
    double sum = 0;
    for (int64_t j = 0; j < width; ++j) sum += std::exp(x.data<double>()[i / width * width + j]);
    const double own = x.data<double>()[i];
    y.data<double>()[i] = log ? own - std::log(sum) : std::exp(own) / sum;
  }
  return y;
}

Sample sample(std::string label, Shape x, bool log) {
  Sample s;
  s.label = std::move(label);
  s.inputs = {x};
  s.forward = [=](Tape&, const Vars& v, const ParameterRefs&, int64_t, int64_t) {
    return log ? log_softmax(v[0]) : softmax(v[0]);
  };
  s.reference = [=](const Tensors& v, const Tensors&) { return reference(v[0], log); };
  // The sum over the row; the exponential, whose argument of magnitude up to 8 is rounded to eps /
  // 2; the division.
  s.terms = static_cast<double>(x.back()) + 8;
  s.forward_work.bytes = 8.0 * static_cast<double>(numel(x));
  s.backward_work.bytes = 12.0 * static_cast<double>(numel(x));
  return s;
}

/// Elements of -infinity, as a mask leaves them: at least one of each row stays.
Sample masked(std::string label, Shape x) {
  Sample s = sample(std::move(label), x, false);
  s.adjust = [](const Tensors& v) {
    const int64_t width = v[0].dim(-1);
    for (int64_t i = 0; i < v[0].numel(); ++i) {
      const int64_t row = i / width, column = i % width;
      if (column != row % width && (row + column) % 3 != 0) v[0].data<double>()[i] = minus_infinity;
    }
  };
  return s;
}

OpCase softmax_case(std::string name, Var (*op)(const Var&), bool log) {
  OpCase c{.name = name,
           .samples = {sample("rows", {4, 3, 7}, log), sample("wide", {2, 37}, log),
                       sample("one_column", {3, 1}, log), sample("one_example", {1, 5}, log),
                       sample("empty", {2, 0, 3}, log), sample("no_columns", {2, 0}, log)},
           .errors = {{name + ": x must be [..., N] with a leading example axis; got [4]",
                       [=](Tape& tape) { op(tape.leaf(random_normal({4}, 1))); }},
                      {name + ": computes in float32 or float64; got uint8",
                       [=](Tape& tape) {
                         op(tape.leaf(Tensor::zeros({2, 3}, DType::uint8)));
                       }}},
           .bench = {sample("vit_scores", {192, 65, 65}, log)}};
  if (!log) {
    c.samples.push_back(masked("masked", {4, 3, 7}));
    c.samples.push_back(masked("masked_wide", {3, 41}));
  }
  return c;
}

const RegisterOp softmax_record{softmax_case("softmax", softmax, false)};
const RegisterOp log_softmax_record{softmax_case("log_softmax", log_softmax, true)};

}  // namespace
}  // namespace minnow::test
