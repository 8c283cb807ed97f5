#include "tests/op_case.h"

namespace minnow::test {
namespace {

using Lengths = std::vector<int64_t>;

Sample sample(std::string label, Shape x, Lengths lengths) {
  Sample s;
  s.label = std::move(label);
  s.inputs = {x};
  s.forward = [=](Tape&, const Vars& v, const ParameterRefs&, int64_t begin, int64_t end) {
    return mask_tokens(v[0],
                       on_device(Tensor::from(lengths, {std::ssize(lengths)})).slice(begin, end));
  };
  s.reference = [=](const Tensors& v, const Tensors&) {
    Tensor y = v[0].clone();
    const int64_t example = x[0] == 0 ? 0 : y.numel() / x[0];
    for (int64_t i = 0; i < y.numel(); ++i) {
      const int64_t t = i % example / (example / x[1]);
      if (t >= lengths[i / example]) y.data<double>()[i] = 0;
    }
    return y;
  };
  s.terms = 0;  // a copy
  s.forward_work.bytes = 8.0 * static_cast<double>(numel(x));
  s.backward_work.bytes = s.forward_work.bytes;
  return s;
}

void refuse(Tape& tape, Shape x, const Tensor& lengths) {
  mask_tokens(tape.leaf(random_normal(x, 1)), lengths);
}

const RegisterOp mask_case{{
    .name = "mask_tokens",
    .samples = {sample("ragged", {4, 5, 3}, {5, 2, 0, 1}), sample("wide", {3, 4, 40}, {1, 4, 2}),
                sample("pictures", {2, 3, 2, 5}, {3, 1}), sample("rows", {3, 4}, {1, 2, 4}),
                sample("one_example", {1, 6, 2}, {3}), sample("no_tokens", {2, 0, 3}, {0, 0}),
                sample("no_examples", {0, 3, 2}, {})},
    .errors = {{"mask_tokens: x must be [B, T, ...]; got [2]",
                [](Tape& tape) { refuse(tape, {2}, Tensor::zeros({2}, DType::int64)); }},
               {"mask_tokens: lengths must be int64 [B] with B = 2; got int64 [3]",
                [](Tape& tape) {
                  refuse(tape, {2, 3}, Tensor::zeros({3}, DType::int64));
                }},
               {"mask_tokens: lengths must be int64 [B] with B = 2; got float32 [2]",
                [](Tape& tape) {
                  refuse(tape, {2, 3}, Tensor::zeros({2}));
                }},
               {"mask_tokens: lengths must lie in [0, T] with T = 3; got 4 for example 1",
                [](Tape& tape) {
                  refuse(tape, {2, 3, 6}, Tensor::from<int64_t>(Lengths{3, 4}, {2}));
                }}},
    .bench = {sample("conformer", {4, 400, 256}, {400, 300, 200, 350})},
}};

}  // namespace
}  // namespace minnow::test
