#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/memory.h"
#include "tests/op_run.h"

namespace minnow::test {
namespace {

RandomContext training(std::vector<int64_t> ids, uint64_t step = 3) {
  const int64_t examples = std::ssize(ids);
  return {.seed = 11, .step = step, .example_ids = Tensor::from(ids, {examples}), .training = true};
}

Tensor ones(const Shape& shape) {
  return Tensor::full(shape, 1, DType::float32, test_device());
}

/// What dropout makes of ones.
Tensor mask(const RandomContext& context, int64_t width, double p,
            Var (*op)(const Var&, double) = dropout, int skip_streams = 0) {
  Tape tape(Tape::Mode::evaluate);
  tape.set_random(context);
  for (int i = 0; i < skip_streams; ++i) tape.next_stream();
  return op(tape.input(ones({context.example_ids.numel(), width})), p).value();
}

TEST(Dropout, ExampleHasTheSameMaskInEveryBatch) {
  constexpr int64_t width = 9000;  // several units of work for each example
  const int64_t far = (int64_t{1} << 33) + 5;
  for (const auto op : {dropout, drop_path}) {
    const Tensor all = mask(training({4, far, 0, 17}), width, 0.5, op);
    const std::vector<std::vector<int64_t>> batches = {{far}, {17, far}, {0, far, 4}};
    for (const auto& ids : batches) {
      const Tensor some = mask(training(ids), width, 0.5, op);
      const auto at = std::find(ids.begin(), ids.end(), far) - ids.begin();
      EXPECT_EQ(some.slice(at, at + 1).to_vector<float>(), all.slice(1, 2).to_vector<float>());
    }
  }
}

TEST(Dropout, EveryElementFollowsItsKey) {
  constexpr int64_t width = 9001;
  const auto y = mask(training({2, 6}), width, 0.3).to_vector<float>();
  const float kept = static_cast<float>(1 / (1 - 0.3));
  for (int64_t i = 0; i < std::ssize(y); ++i) {
    const RandomKey key{11, stream::dropout, 3, i < width ? 2u : 6u};
    const bool keep = static_cast<double>(key.uniform(static_cast<uint64_t>(i % width))) >= 0.3;
    ASSERT_EQ(y[i], keep ? kept : 0.0f) << i;
  }
}

TEST(Dropout, ExamplesStepsAndLayersHaveMasksOfTheirOwn) {
  const auto one = mask(training({1}), 64, 0.5).to_vector<float>();
  EXPECT_NE(one, mask(training({2}), 64, 0.5).to_vector<float>());
  EXPECT_NE(one, mask(training({1}, 4), 64, 0.5).to_vector<float>());
  EXPECT_NE(one, mask(training({1}), 64, 0.5, dropout, 1).to_vector<float>());
}

// A layer that drops nothing takes its stream all the same.
TEST(Dropout, MasksDoNotDependOnTheRateOfAnotherLayer) {
  const auto second = [](double first_rate) {
    Tape tape(Tape::Mode::evaluate);
    tape.set_random(training({1}));
    const Var x = tape.input(ones({1, 64}));
    dropout(x, first_rate);
    return dropout(x, 0.5).value().to_vector<float>();
  };
  EXPECT_EQ(second(0), second(0.3));
}

// n elements are dropped independently with probability p: the share has deviation sqrt(p (1 - p) /
// n), and 5 of them are passed once in two million seeds.
TEST(Dropout, ShareThatIsKept) {
  constexpr int64_t n = 200000;
  for (const double p : {0.1, 0.5, 0.9}) {
    std::vector<int64_t> ids(n);
    std::iota(ids.begin(), ids.end(), 0);
    const auto rows = mask(training(ids), 1, p, drop_path).to_vector<float>();
    const auto row = mask(training({8}), n, p).to_vector<float>();
    for (const auto& y : {rows, row}) {
      const double zeros = static_cast<double>(std::count(y.begin(), y.end(), 0.0f));
      EXPECT_NEAR(zeros / n, p, 5 * std::sqrt(p * (1 - p) / n));
    }
  }
}

TEST(Dropout, GradientPassesTheSameMask) {
  for (const auto op : {dropout, drop_path}) {
    Tape tape;
    tape.set_random(training({3, 1, 4, 15, 9, 26}));
    const Var x = tape.leaf(ones({6, 7}));
    const Var y = op(x, 0.4);
    const auto expected = y.value().to_vector<float>();
    SumSink sink;
    tape.backward(y, ones({6, 7}), sink);
    EXPECT_EQ(tape.gradient(x).to_vector<float>(), expected);
  }
}

TEST(Dropout, IdentityCopiesNothing) {
  for (const auto op : {dropout, drop_path}) {
    Tape tape;
    const Var x = tape.leaf(ones({4, 3}));
    EXPECT_EQ(op(x, 0.5).value().raw(), x.value().raw());  // evaluates
    tape.set_random(training({0, 1, 2, 3}));
    EXPECT_EQ(op(x, 0).value().raw(), x.value().raw());
    EXPECT_NE(op(x, 0.5).value().raw(), x.value().raw());
  }
}

TEST(Dropout, KeepsNeitherItsInputNorAMask) {
  Tape tape;
  RandomContext context = training({0, 1});
  context.example_ids = on_device(context.example_ids);  // where both ops can share them
  tape.set_random(context);
  const int64_t before = memory_stats(test_device()).in_use;
  {
    const Var x = tape.leaf(ones({2, 5000}));
    dropout(x, 0.5);
    drop_path(x, 0.5);
  }
  EXPECT_EQ(memory_stats(test_device()).in_use, before);
}

// What is dropped is gone, be it not a number.
TEST(Dropout, DroppedElementsAreNotRead) {
  Tape tape(Tape::Mode::evaluate);
  tape.set_random(training({0}));
  const Tensor x = Tensor::full({1, 100}, std::nan(""), DType::float32, test_device());
  const Tensor y = dropout(tape.input(x), 0.5).value();
  const auto values = y.to_vector<float>();
  EXPECT_GT(std::count(values.begin(), values.end(), 0.0f), 0);
}

}  // namespace
}  // namespace minnow::test
