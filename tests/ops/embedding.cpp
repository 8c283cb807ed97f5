#include "tests/op_case.h"

namespace minnow::test {
namespace {

/// Every example has ids of its own and some that others have too; at least one id of the larger
/// tables is never used.
Tensor ids_for(const Shape& shape, int64_t vocabulary) {
  Tensor ids = Tensor::empty(shape, DType::int64);
  for (int64_t i = 0; i < ids.numel(); ++i) ids.data<int64_t>()[i] = i * i % 11 % vocabulary;
  return ids;
}

Tensor reference(const Tensor& ids, const Tensor& weight) {
  const int64_t width = weight.dim(1);
  Shape shape = ids.shape();
  shape.push_back(width);
  Tensor y = Tensor::empty(shape, DType::float64);
  for (int64_t i = 0; i < y.numel(); ++i) {
    y.data<double>()[i] = weight.data<double>()[ids.data<int64_t>()[i / width] * width + i % width];
  }
  return y;
}

Sample sample(std::string label, Shape shape, int64_t vocabulary, int64_t width) {
  Sample s;
  s.label = std::move(label);
  s.parameters = {{vocabulary, width}};
  s.examples = shape[0];
  s.bfloat16 = false;
  const Tensor ids = ids_for(shape, vocabulary);
  s.forward = [=](Tape& tape, const Vars&, const ParameterRefs& p, int64_t begin, int64_t end) {
    return embedding(tape, ids.slice(begin, end), *p[0]);
  };
  s.reference = [=](const Tensors&, const Tensors& p) { return reference(ids, p[0]); };
  // A copy; backward adds up at most as many rows as there are ids.
  s.terms = static_cast<double>(numel(shape));
  s.forward_work.bytes = 8.0 * static_cast<double>(numel(shape) * width);
  s.backward_work.bytes = 4.0 * static_cast<double>((numel(shape) + vocabulary) * width);
  return s;
}

void with_ids(Tape& tape, const std::vector<int64_t>& ids) {
  const Parameter w = random_parameter("w", {5, 3}, 1);
  embedding(tape, Tensor::from(ids, {2, std::ssize(ids) / 2}), w);
}

const RegisterOp embedding_case{{
    .name = "embedding",
    .samples = {sample("tokens", {5, 3}, 9, 4), sample("one_column", {4, 3}, 6, 1),
                sample("one_example", {1, 7}, 5, 3), sample("one_word", {4, 2}, 1, 3),
                sample("wide", {4, 6}, 4, 70), sample("no_axis", {6}, 5, 2),
                sample("two_axes", {3, 2, 4}, 13, 2), sample("no_tokens", {3, 0}, 4, 2)},
    .errors = {{"embedding: ids must lie in [0, V) with V = 5; got 5 at position 3",
                [](Tape& tape) {
                  with_ids(tape, {0, 4, 1, 5});
                }},
               {"embedding: ids must lie in [0, V) with V = 5; got -1 at position 0",
                [](Tape& tape) {
                  with_ids(tape, {-1, 4});
                }},
               {"embedding: ids must be [B, ...] int64; got float32 [2, 3]",
                [](Tape& tape) {
                  const Parameter w = random_parameter("w", {5, 3}, 1);
                  embedding(tape, Tensor::zeros({2, 3}), w);
                }},
               {"embedding: weight must be [V, D]; got [5]",
                [](Tape& tape) {
                  const Parameter w = random_parameter("w", {5}, 1);
                  embedding(tape, Tensor::zeros({2, 3}, DType::int64), w);
                }}},
    .bench = {sample("words", {64, 128}, 10000, 192)},
}};

}  // namespace
}  // namespace minnow::test
