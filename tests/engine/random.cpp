#include "kernels/random.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <set>
#include <vector>

namespace minnow {
namespace {

using Words = std::array<uint32_t, 4>;

Words words(const Random4& r) {
  return {r.word[0], r.word[1], r.word[2], r.word[3]};
}

// The known answers that Random123 publishes for philox4x32 with 10 rounds.
TEST(Random, PhiloxKnownAnswers) {
  EXPECT_EQ(words(philox4x32({{0, 0, 0, 0}}, 0, 0)),
            (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  constexpr uint32_t ones = 0xffffffff;
  EXPECT_EQ(words(philox4x32({{ones, ones, ones, ones}}, ones, ones)),
            (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(
      words(philox4x32({{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}}, 0xa4093822, 0x299f31d0)),
      (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

// The place of every field is part of the contract: a checkpoint resumes, and a GPU agrees, only
// while it stays.
TEST(Random, KeyFillsCounterAndKeyInAFixedOrder) {
  const RandomKey key{.seed = 0xa4093822'00000005, .stream = 7, .step = 11, .example = 13};
  EXPECT_EQ(words(key.block(3)), words(philox4x32({{3, 13, 11, 7}}, 5, 0xa4093822)));
  for (uint64_t element : {0, 1, 4, 14}) {
    EXPECT_EQ(key.word(element), key.block(static_cast<uint32_t>(element / 4)).word[element % 4]);
  }
}

TEST(Random, EveryPartOfTheKeyChangesTheSequence) {
  const RandomKey base{.seed = 1, .stream = 2, .step = 3, .example = 4};
  std::vector<RandomKey> keys(8, base);
  keys[1].seed += 1;
  keys[2].seed += uint64_t{1} << 32;
  keys[3].stream += 1;
  keys[4].step += 1;
  keys[5].example += 1;
  keys[6].example += uint64_t{1} << 32;
  keys[7].example += uint64_t{1} << 33;
  std::set<Words> seen;
  for (const RandomKey& key : keys) {
    for (uint32_t block = 0; block < 1000; ++block) seen.insert(words(key.block(block)));
  }
  // Of n words of 128 bits, two agree with probability below n^2 / 2^129.
  EXPECT_EQ(seen.size(), 8u * 1000u);
}

/// Sample mean of f over n elements.
template <class F>
double mean_of(int n, F&& f) {
  double sum = 0;
  for (int i = 0; i < n; ++i) sum += f(static_cast<uint64_t>(i));
  return sum / n;
}

constexpr int samples = 1 << 20;
// Five standard errors: a right generator, whose sequence is fixed, misses one bound in 2e6.
const double five_errors = 5.0 / std::sqrt(samples);

TEST(Random, UniformMoments) {
  const RandomKey key{.seed = 17, .stream = stream::augment};
  const auto u = [&](uint64_t i) { return static_cast<double>(key.uniform(i)); };
  EXPECT_NEAR(mean_of(samples, u), 0.5, five_errors * std::sqrt(1.0 / 12));
  EXPECT_NEAR(mean_of(samples, [&](uint64_t i) { return u(i) * u(i); }), 1.0 / 3,
              five_errors * std::sqrt(4.0 / 45));
  // Neighbours, and the same element of the next example, do not know of each other.
  RandomKey other = key;
  other.example = 1;
  const auto centred = [](double x) { return x - 0.5; };
  EXPECT_NEAR(mean_of(samples, [&](uint64_t i) { return centred(u(i)) * centred(u(i + 1)); }), 0,
              five_errors / 12);
  const auto across = [&](uint64_t i) { return centred(u(i)) * centred(other.uniform(i)); };
  EXPECT_NEAR(mean_of(samples, across), 0, five_errors / 12);
}

// Multiples of 2^-24 are exact in float32; finer ones would round, and the largest of them to 1.
TEST(Random, UniformHas24BitsAndStaysBelowOne) {
  const RandomKey key{.seed = 5};
  for (uint64_t i = 0; i < 100000; ++i) {
    const double scaled = 0x1p24 * static_cast<double>(key.uniform(i));
    ASSERT_EQ(scaled, std::floor(scaled));
    ASSERT_GE(scaled, 0);
    ASSERT_LT(scaled, 0x1p24);
  }
}

TEST(Random, SequenceWalksThroughItsKey) {
  const RandomKey key{.seed = 9, .example = 2};
  RandomSequence sequence(key);
  for (uint64_t i = 0; i < 9; ++i) EXPECT_EQ(sequence.word(), key.word(i));
}

TEST(Random, NormalMoments) {
  RandomSequence sequence({.seed = 21});
  double sum = 0, squares = 0, fourth = 0;
  for (int i = 0; i < samples; ++i) {
    const double x = sequence.normal();
    sum += x;
    squares += x * x;
    fourth += x * x * x * x;
  }
  // Variances of x, x^2, x^4 for a standard normal: 1, 2, 105 - 9 = 96.
  EXPECT_NEAR(sum / samples, 0, five_errors);
  EXPECT_NEAR(squares / samples, 1, five_errors * std::sqrt(2.0));
  EXPECT_NEAR(fourth / samples, 3, five_errors * std::sqrt(96.0));
}

TEST(Random, BelowIsUniformOverItsRange) {
  RandomSequence sequence({.seed = 33});
  constexpr int64_t n = 7;
  std::array<int, n> counts{};
  for (int i = 0; i < samples; ++i) {
    const int64_t value = sequence.below(n);
    ASSERT_GE(value, 0);
    ASSERT_LT(value, n);
    ++counts[static_cast<size_t>(value)];
  }
  const double p = 1.0 / n;
  for (int count : counts) {
    EXPECT_NEAR(static_cast<double>(count) / samples, p, five_errors * std::sqrt(p * (1 - p)));
  }
  EXPECT_EQ(sequence.below(1), 0);
}

}  // namespace
}  // namespace minnow
