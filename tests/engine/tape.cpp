#include "engine/tape.h"

#include <gtest/gtest.h>

#include "engine/memory.h"
#include "engine/ops.h"
#include "tests/expect_error.h"
#include "tests/op_run.h"

namespace minnow::test {
namespace {

Tensor ones(const Shape& shape) {
  return Tensor::full(shape, 1, DType::float64, test_device());
}

Parameter weight() {
  Parameter w = random_parameter("w", {3, 2}, 1);
  w.value = on_device(w.value);
  return w;
}

TEST(Tape, GradientsOfSharedValuesDoNotRunIntoEachOther) {
  // `add` hands one tensor to both of its inputs: a's second share must not be added into what b or
  // c still holds.
  Tape tape;
  const Var a = tape.leaf(ones({2})), b = tape.leaf(ones({2})), c = tape.leaf(ones({2}));
  const Var y = add(add(a, b), scale(add(a, c), 3));
  SumSink sink;
  tape.backward(y, ones({2}), sink);
  EXPECT_EQ(tape.gradient(a).to_vector<double>(), (std::vector<double>{4, 4}));
  EXPECT_EQ(tape.gradient(b).to_vector<double>(), (std::vector<double>{1, 1}));
  EXPECT_EQ(tape.gradient(c).to_vector<double>(), (std::vector<double>{3, 3}));
}

TEST(Tape, AValueUsedThreeTimes) {
  Tape tape;
  const Var x = tape.leaf(on_device(Tensor::full({2}, 5, DType::float64)));
  SumSink sink;
  tape.backward(mul(mul(x, x), x), ones({2}), sink);
  EXPECT_EQ(tape.gradient(x).to_vector<double>(), (std::vector<double>{75, 75}));
}

TEST(Tape, WhatTheLossDoesNotReachHasNoGradient) {
  Tape tape;
  const Var x = tape.leaf(ones({2})), aside = tape.leaf(ones({2}));
  relu(aside);
  SumSink sink;
  tape.backward(scale(x, 2), ones({2}), sink);
  EXPECT_FALSE(tape.gradient(aside).defined());
  EXPECT_EQ(tape.gradient(x).to_vector<double>(), (std::vector<double>{2, 2}));
}

TEST(Tape, FreesWhatItSavedAsItGoes) {
  constexpr int64_t n = 1 << 16, bytes = n * 8, layers = 6;
  const int64_t before = memory_stats(test_device()).in_use;
  Tape tape;
  Var y = tape.leaf(ones({1, n}));
  for (int64_t i = 0; i < layers; ++i) y = sigmoid(y);  // each saves its input
  const int64_t recorded = memory_stats(test_device()).in_use - before;
  EXPECT_GE(recorded, layers * bytes);
  reset_peak_memory(test_device());
  SumSink sink;
  tape.backward(y, ones({1, n}), sink);
  // The gradient replaces what was saved, one layer at a time: never more than two beside the saved
  // ones.
  EXPECT_LE(memory_stats(test_device()).peak - before, recorded + 2 * bytes);
  y = Var();
  EXPECT_LE(memory_stats(test_device()).in_use - before, 2 * bytes);
}

TEST(Tape, EvaluationRecordsNothing) {
  const Parameter w = weight();
  Tape tape(Tape::Mode::evaluate);
  const Var y = linear(tape.leaf(ones({4, 2})), w);
  EXPECT_FALSE(y.slot().wanted());
  SumSink sink;
  expect_error<Error>([&] { tape.backward(y, ones({4, 3}), sink); }, {"backward: nothing"});
}

TEST(Tape, SeedMustLookLikeTheLoss) {
  Tape tape;
  const Var y = scale(tape.leaf(ones({2})), 2);
  SumSink sink;
  expect_error<Error>([&] { tape.backward(y, ones({3}), sink); },
                      {"backward: the seed", "[2]", "[3]"});
}

TEST(Tape, FrozenParametersAreNotHandedOver) {
  Parameter w = weight();
  w.trainable = false;
  Tape tape;
  const Var x = tape.leaf(ones({4, 2}));
  SumSink sink;
  tape.backward(linear(x, w), ones({4, 3}), sink);
  EXPECT_TRUE(sink.gradients.empty());
  EXPECT_TRUE(tape.gradient(x).defined());
}

}  // namespace
}  // namespace minnow::test
