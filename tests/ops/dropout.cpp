#include <cmath>

#include "kernels/random.h"
#include "tests/op_case.h"

namespace minnow::test {
namespace {

/// The harness runs every op with seed 5, step 3 and the examples 0 .. B-1; one op on a tape has
/// the first stream.
Tensor reference(const Tensor& x, double p, bool whole_examples) {
  Tensor y = Tensor::empty(x.shape(), DType::float64);
  for (int64_t i = 0; i < x.numel(); ++i) {
    const int64_t each = x.numel() / x.dim(0);
    const RandomKey key{5, stream::dropout, 3, static_cast<uint64_t>(i / each)};
    const double u = key.uniform(static_cast<uint64_t>(whole_examples ? 0 : i % each));
    y.data<double>()[i] = u >= p ? x.data<double>()[i] / (1 - p) : 0;
  }
  return y;
}

Sample sample(std::string label, Shape x, double p, bool whole_examples) {
  Sample s;
  s.label = std::move(label);
  s.inputs = {x};
  s.forward = [=](Tape&, const Vars& v, const ParameterRefs&, int64_t, int64_t) {
    return whole_examples ? drop_path(v[0], p) : dropout(v[0], p);
  };
  s.reference = [=](const Tensors& v, const Tensors&) {
    return reference(v[0], p, whole_examples);
  };
  s.terms = 2;  // the factor 1 / (1 - p) and the product
  s.forward_work.bytes = 8.0 * static_cast<double>(numel(x));
  s.backward_work.bytes = s.forward_work.bytes;
  return s;
}

OpCase drop_case(std::string name, Var (*op)(const Var&, double), bool whole) {
  return {
      .name = name,
      .samples = {sample("odd", {5, 3, 7}, 0.3, whole), sample("one_column", {9, 1}, 0.5, whole),
                  sample("one_example", {1, 13}, 0.1, whole), sample("vector", {6}, 0.4, whole),
                  sample("never", {3, 4}, 0, whole), sample("mostly", {7, 5}, 0.9, whole),
                  sample("empty", {2, 0}, 0.5, whole)},
      .errors = {{name + ": p must lie in [0, 1); got 1",
                  [=](Tape& tape) {
                    op(tape.leaf(random_normal({2, 3}, 1)), 1);
                  }},
                 {name + ": p must lie in [0, 1); got -0.5",
                  [=](Tape& tape) {
                    op(tape.leaf(random_normal({2, 3}, 1)), -0.5);
                  }},
                 {name + ": p must lie in [0, 1); got nan",
                  [=](Tape& tape) {
                    op(tape.leaf(random_normal({2, 3}, 1)), std::nan(""));
                  }},
                 {name + ": the tape's example_ids must be [B] = [2]; got [3]",
                  [=](Tape& tape) {
                    tape.set_random(
                        {.example_ids = Tensor::zeros({3}, DType::int64), .training = true});
                    op(tape.leaf(random_normal({2, 3}, 1)), 0.5);
                  }},
                 {name + ": computes in float32 or float64; got uint8",
                  [=](Tape& tape) {
                    tape.set_random({.example_ids = {}, .training = true});
                    op(tape.leaf(Tensor::zeros({2, 3}, DType::uint8)), 0.5);
                  }}},
      .bench = {sample("vit", {64, 65, 192}, 0.1, whole)}};
}

const RegisterOp dropout_record{drop_case("dropout", dropout, false)};
const RegisterOp drop_path_record{drop_case("drop_path", drop_path, true)};

}  // namespace
}  // namespace minnow::test
