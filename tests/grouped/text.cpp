#include <gtest/gtest.h>

#include "tests/expect_error.h"
#include "tests/grouped/problem.h"
#include "tests/op_run.h"

namespace minnow::test {
namespace {

Problem text_problem(DType dtype) {
  for (Problem& problem : problems(dtype)) {
    if (problem.name == "text") return std::move(problem);
  }
  throw std::logic_error("no text problem");
}

GroupedStep step(const Problem& problem, Strategy strategy) {
  ClipState state;
  return clipped_gradient(problem.parameters(), Grouping::runs(problem.examples(), 2),
                          problem.loss(), {.rule = Rule::min}, state,
                          {.strategy = strategy, .tau = 8});
}

/// The problem with other ids in the padding, and `more` columns of it.
Problem padded(DType dtype, int64_t filler, int64_t more) {
  Problem problem = text_problem(dtype);
  const Tensor ids = on_cpu(problem.inputs), lengths = problem.lengths;
  const int64_t examples = ids.dim(0), old = ids.dim(1), tokens = old + more;
  Tensor wider = Tensor::full({examples, tokens}, static_cast<double>(filler), DType::int64);
  for (int64_t b = 0; b < examples; ++b) {
    const int64_t* row = ids.data<int64_t>() + b * old;
    std::copy_n(row, lengths.data<int64_t>()[b], wider.data<int64_t>() + b * tokens);
  }
  problem.inputs = on_device(wider);
  return problem;
}

TEST(TextEncoder, WhatStandsInThePaddingChangesNoBit) {
  const Problem plain = text_problem(DType::float32), other = padded(DType::float32, 7, 0);
  ASSERT_FALSE(identical(plain.inputs, other.inputs));
  for (Strategy strategy : {Strategy::instantiate, Strategy::norm_only, Strategy::loop}) {
    const GroupedStep a = step(plain, strategy), b = step(other, strategy);
    EXPECT_TRUE(identical(a.losses, b.losses));
    EXPECT_EQ(a.groups.norms, b.groups.norms);
    for (size_t l = 0; l < a.update.size(); ++l) EXPECT_TRUE(identical(a.update[l], b.update[l]));
  }
}

TEST(TextEncoder, MorePaddingChangesNothingBeyondRounding) {
  // Some thousand roundings of 1e-16: the sums over rows have more zeros in them, in other places.
  constexpr double bound = 1e-12;
  const GroupedStep a = step(text_problem(DType::float64), Strategy::automatic),
                    b = step(padded(DType::float64, 0, 2), Strategy::automatic);
  EXPECT_LE(relative_difference(b.losses, a.losses), bound);
  for (size_t j = 0; j < a.groups.norms.size(); ++j)
    EXPECT_NEAR(b.groups.norms[j], a.groups.norms[j], bound * a.groups.norms[j]);
  for (size_t l = 0; l < a.update.size(); ++l)
    EXPECT_LE(relative_difference(b.update[l], a.update[l]), bound);
}

TEST(TextEncoder, ThePaddingIdHasNoGradient) {
  const Problem problem = text_problem(DType::float32);
  ASSERT_EQ(problem.parameters()[0]->name, "embed.weight");
  const std::vector<float> rows =
      on_cpu(step(problem, Strategy::automatic).update[0]).to_vector<float>();
  for (size_t i = 0; i < 12; ++i) EXPECT_EQ(rows[i], 0);
  for (size_t i = 12; i < rows.size(); ++i) EXPECT_NE(rows[i], 0) << i;
}

TEST(TextEncoder, RefusesWhatIsNoText) {
  const Problem problem = text_problem(DType::float32);
  Tape tape;
  const auto forward = [&](const Tensor& ids) { problem.model->forward(tape.input(ids), {}); };
  expect_error<Error>([&] { forward(Tensor::zeros({2, 3})); }, {"int64 [B, T]", "float32 [2, 3]"});
  expect_error<Error>([&] { forward(Tensor::zeros({2, 9}, DType::int64)); }, {"[1, 8]", "got 9"});
}

}  // namespace
}  // namespace minnow::test
