#include <cmath>

#include "tests/op_case.h"

namespace minnow::test {
namespace {

using Lengths = std::vector<int64_t>;

/// One query of one head: the softmax of its scores over the keys it may see, times their values.
void attend(const double* q, const double* k, const double* v, int64_t keys, int64_t row, int64_t d,
            double* o) {
  std::vector<double> p(static_cast<size_t>(keys));
  double sum = 0;
  for (int64_t j = 0; j < keys; ++j) {
    double score = 0;
    for (int64_t c = 0; c < d; ++c) score += q[c] * k[j * row + c];
    p[j] = std::exp(score / std::sqrt(static_cast<double>(d)));
    sum += p[j];
  }
  for (int64_t c = 0; c < d; ++c) {
    o[c] = 0;
    for (int64_t j = 0; j < keys; ++j) o[c] += p[j] / sum * v[j * row + c];
  }
}

Tensor reference(const Tensor& qkv, int64_t heads, const Lengths& lengths, bool causal) {
  const int64_t tokens = qkv.dim(1), width = qkv.dim(2) / 3, d = width / heads, row = 3 * width;
  Tensor o = Tensor::zeros({qkv.dim(0), tokens, width}, DType::float64);
  for (int64_t b = 0; b < qkv.dim(0); ++b) {
    const int64_t length = lengths.empty() ? tokens : lengths[b];
    for (int64_t h = 0; h < heads; ++h) {
      const double* q = qkv.data<double>() + b * tokens * row + h * d;
      for (int64_t i = 0; i < length; ++i) {
        attend(q + i * row, q + width, q + 2 * width, causal ? i + 1 : length, row, d,
               o.data<double>() + (b * tokens + i) * width + h * d);
      }
    }
  }
  return o;
}

Sample sample(std::string label, Shape qkv, int64_t heads, Lengths lengths = {},
              bool causal = false) {
  const auto tokens = static_cast<double>(qkv[1]), width = static_cast<double>(qkv[2] / 3);
  Sample s;
  s.label = std::move(label);
  s.inputs = {qkv};
  s.forward = [=](Tape&, const Vars& v, const ParameterRefs&, int64_t begin, int64_t end) {
    AttentionOptions options;
    options.causal = causal;
    if (!lengths.empty()) {
      options.lengths = on_device(Tensor::from(lengths, {std::ssize(lengths)})).slice(begin, end);
    }
    return attention(v[0], heads, options);
  };
  s.reference = [=](const Tensors& v, const Tensors&) {
    return reference(v[0], heads, lengths, causal);
  };
  // A score of magnitude 4 (normal numbers) rounds d times, and its error is the relative error of
  // a probability; then two sums over the keys.
  s.terms = 4 * width / static_cast<double>(heads) + 2 * tokens + 8;
  // Two products of 2 T T D each an example; backward forms the scores again and four more.
  s.forward_work.flops = 4 * static_cast<double>(qkv[0]) * tokens * tokens * width;
  s.backward_work.flops = 2.5 * s.forward_work.flops;
  return s;
}

void refuse(Tape& tape, Shape qkv, int64_t heads, const Tensor& lengths = {}) {
  attention(tape.leaf(random_normal(qkv, 1)), heads, {.lengths = lengths});
}

const RegisterOp attention_case{{
    .name = "attention",
    .samples = {sample("odd", {3, 5, 18}, 2), sample("one_token", {4, 1, 6}, 1),
                sample("one_column", {2, 3, 9}, 3), sample("one_example", {1, 7, 12}, 1),
                sample("no_tokens", {2, 0, 6}, 1), sample("no_examples", {0, 3, 6}, 1),
                sample("lengths", {4, 6, 12}, 2, {6, 3, 0, 1}),
                sample("causal", {2, 6, 12}, 2, {}, true),
                sample("causal_lengths", {3, 5, 6}, 1, {2, 5, 4}, true)},
    .errors = {{"attention: qkv must be [B, T, 3 D]; got [2, 3, 8]",
                [](Tape& tape) {
                  refuse(tape, {2, 3, 8}, 1);
                }},
               {"attention: qkv must be [B, T, 3 D]; got [2, 6]",
                [](Tape& tape) {
                  refuse(tape, {2, 6}, 1);
                }},
               {"attention: D = 4 must be divisible by heads; got 3",
                [](Tape& tape) {
                  refuse(tape, {2, 3, 12}, 3);
                }},
               {"attention: D = 4 must be divisible by heads; got 0",
                [](Tape& tape) {
                  refuse(tape, {2, 3, 12}, 0);
                }},
               {"attention: lengths must be int64 [B] with B = 2; got int64 [3]",
                [](Tape& tape) {
                  refuse(tape, {2, 3, 6}, 1, Tensor::zeros({3}, DType::int64));
                }},
               {"attention: lengths must lie in [0, T] with T = 3; got 4 for example 1",
                [](Tape& tape) {
                  refuse(tape, {2, 3, 6}, 1, Tensor::from<int64_t>(Lengths{3, 4}, {2}));
                }},
               {"attention: lengths must lie in [0, T] with T = 3; got -1 for example 0",
                [](Tape& tape) {
                  refuse(tape, {2, 3, 6}, 1, Tensor::from<int64_t>(Lengths{-1, 2}, {2}));
                }},
               {"attention: computes in float32 or float64; got int64",
                [](Tape& tape) {
                  attention(tape.leaf(Tensor::zeros({2, 3, 6}, DType::int64)), 1);
                }}},
    .bench = {sample("vit_65", {64, 65, 576}, 3), sample("vit_197", {64, 197, 576}, 3)},
}};

}  // namespace
}  // namespace minnow::test
