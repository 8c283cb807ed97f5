#include "train/mix.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "data/loader.h"
#include "engine/ops.h"
#include "kernels/random.h"
#include "tests/data/files.h"
#include "tests/expect_error.h"
#include "train/task.h"

namespace minnow {
namespace {

using data_test::bytes_of;
using data_test::same;

constexpr int64_t kClasses = 16;

/// n pictures [3, H, W] of distinct pixels and (up to 16) distinct labels; ids count from `first`.
Batch make_batch(int64_t n, int64_t H, int64_t W, int64_t first = 100) {
  Batch batch{Tensor::empty({n, 3, H, W}), Tensor::empty({n}, DType::int64),
              Tensor::empty({n}, DType::int64), std::vector<bool>(static_cast<size_t>(n))};
  for (int64_t i = 0; i < n; ++i) {
    const RandomKey key{7, 99, 0, static_cast<uint64_t>(first + i)};
    float* x = batch.inputs.data<float>() + i * 3 * H * W;
    for (int64_t k = 0; k < 3 * H * W; ++k) x[k] = key.uniform(static_cast<uint64_t>(k));
    batch.labels.data<int64_t>()[i] = (first + i) % kClasses;
    batch.ids.data<int64_t>()[i] = first + i;
    batch.marked[static_cast<size_t>(i)] = i % 3 == 0;
  }
  return batch;
}

Batch copy(const Batch& b) {
  return {b.inputs.clone(), b.labels.clone(), b.ids.clone(), b.marked};
}

/// The example that example i of B in runs is mixed with.
int64_t partner(int64_t i, int64_t B, int64_t run) {
  const int64_t begin = i / run * run;
  return begin + std::min(run, B - begin) - 1 - (i - begin);
}

/// Checks that targets are what they must be for some lambda of each run, and returns the lambda of
/// each example. Both shares are rounded once, and so is their sum.
std::vector<double> lambdas(const Batch& mixed, const Batch& before, int64_t run) {
  const int64_t B = before.size();
  EXPECT_EQ(mixed.labels.shape(), (Shape{B, kClasses}));
  EXPECT_EQ(mixed.labels.dtype(), DType::float32);
  std::vector<double> all;
  for (int64_t i = 0; i < B; ++i) {
    const float* target = mixed.labels.data<float>() + i * kClasses;
    const int64_t own = before.labels.data<int64_t>()[i];
    const int64_t other = before.labels.data<int64_t>()[partner(i, B, run)];
    EXPECT_NEAR(std::accumulate(target, target + kClasses, 0.0), 1, 2 * 0x1p-24);
    EXPECT_NEAR(target[own] + (own == other ? 0.0 : double{target[other]}), 1, 2 * 0x1p-24);
    // A middle example is its own partner and says nothing of lambda.
    all.push_back(own != other ? target[own] : all.empty() || i % run == 0 ? 1 : all.back());
    if (i % run != 0 && own != other) {
      EXPECT_EQ(all.back(), all[all.size() - 2]) << "example " << i;
    }
  }
  return all;
}

// Ten examples in runs of four: the last run is of two. Runs of 5: each has a middle.
TEST(Mix, MixUpByItsFormula) {
  for (const int64_t run : {4, 5, 10}) {
    const Batch before = make_batch(10, 4, 6);
    Batch mixed = copy(before);
    mix_batch(mixed, {.mixup = 0.8, .run = run, .classes = kClasses, .seed = 5}, 3);
    const std::vector<double> lambda = lambdas(mixed, before, run);
    for (int64_t i = 0; i < 10; ++i) {
      const double own = lambda[static_cast<size_t>(i)];
      const float* x = before.inputs.data<float>() + i * 72;
      const float* y = before.inputs.data<float>() + partner(i, 10, run) * 72;
      const float* z = mixed.inputs.data<float>() + i * 72;
      for (int64_t k = 0; k < 72; ++k) {
        // Lambda, 1 - lambda, two products and a sum are rounded, of numbers up to 1.
        ASSERT_NEAR(z[k], own * x[k] + (1 - own) * y[k], 5 * 0x1p-24) << "example " << i;
      }
    }
    if (run < 10) {
      EXPECT_NE(lambda.front(), lambda.back());  // a lambda of each run
    }
    EXPECT_EQ(bytes_of(mixed.ids), bytes_of(before.ids));
    EXPECT_EQ(mixed.marked, before.marked);
  }
}

/// Where the first example of a run shows its partner; the same must hold for all of the run.
std::vector<bool> exchanged(const Batch& mixed, const Batch& before, int64_t begin, int64_t end,
                            int64_t run) {
  const int64_t pixels = mixed.inputs.numel() / mixed.size();
  std::vector<bool> first;
  for (int64_t i = begin; i < end; ++i) {
    const int64_t p = partner(i, before.size(), run);
    std::vector<bool> here;
    for (int64_t k = 0; k < pixels; ++k) {
      const float value = mixed.inputs.data<float>()[i * pixels + k];
      here.push_back(value != before.inputs.data<float>()[i * pixels + k]);
      const int64_t source = here.back() ? p : i;
      EXPECT_EQ(value, before.inputs.data<float>()[source * pixels + k]);
    }
    if (i == begin) first = here;
    if (i != p) {
      EXPECT_EQ(here, first) << "example " << i;
    }
  }
  return first;
}

TEST(Mix, CutMixExchangesABoxAndCountsItsPixels) {
  const int64_t H = 9, W = 12, run = 4;
  std::set<double> seen;
  for (int64_t epoch = 0; epoch < 100; ++epoch) {
    const Batch before = make_batch(10, H, W);
    Batch mixed = copy(before);
    mix_batch(mixed, {.cutmix = 1, .run = run, .classes = kClasses, .seed = 5}, epoch);
    const std::vector<double> lambda = lambdas(mixed, before, run);
    for (int64_t begin = 0; begin < 10; begin += run) {
      const auto box = exchanged(mixed, before, begin, std::min<int64_t>(begin + run, 10), run);
      int64_t top = H, bottom = -1, left = W, right = -1, count = 0;
      for (int64_t k = 0; k < 3 * H * W; ++k) {
        if (!box[static_cast<size_t>(k)]) continue;
        ++count;
        top = std::min(top, k / W % H), bottom = std::max(bottom, k / W % H);
        left = std::min(left, k % W), right = std::max(right, k % W);
      }
      if (count > 0) {
        EXPECT_EQ(count, 3 * (bottom - top + 1) * (right - left + 1));
      }
      EXPECT_NEAR(1 - lambda[static_cast<size_t>(begin)], count / (3.0 * H * W), 0x1p-24);
      seen.insert(lambda[static_cast<size_t>(begin)]);
    }
  }
  EXPECT_GT(seen.size(), 30u);  // boxes of all sizes
  EXPECT_LT(*seen.begin(), 0.5);
  EXPECT_EQ(*seen.rbegin(), 1);
}

/// A micro-batch comes out the same alone and among others.
TEST(Mix, IsKeyedBySeedEpochAndTheFirstId) {
  const MixOptions options{.mixup = 0.8, .cutmix = 1, .run = 4, .classes = kClasses, .seed = 5};
  const auto mixed = [&](int64_t n, int64_t first, int64_t epoch, uint64_t seed) {
    MixOptions keyed = options;
    keyed.seed = seed;
    Batch batch = make_batch(n, 5, 5, first);
    mix_batch(batch, keyed, epoch);
    return batch;
  };
  const Batch whole = mixed(12, 0, 1, 5), again = mixed(12, 0, 1, 5), part = mixed(4, 4, 1, 5);
  EXPECT_TRUE(same(whole, again));
  EXPECT_EQ(bytes_of(whole.inputs.slice(4, 8)), bytes_of(part.inputs));
  EXPECT_EQ(bytes_of(whole.labels.slice(4, 8)), bytes_of(part.labels));
  EXPECT_FALSE(same(whole, mixed(12, 0, 2, 5)));
  EXPECT_FALSE(same(whole, mixed(12, 0, 1, 6)));
}

struct Counts {
  int untouched = 0, blended = 0, cut = 0;
};

Counts count_kinds(MixOptions options) {
  Counts counts;
  options.classes = kClasses;
  options.run = 2;
  for (int64_t k = 0; k < 1000; ++k) {
    const Batch before = make_batch(2, 8, 8, 2 * k);
    Batch after = copy(before);
    mix_batch(after, options, 0);
    const float *x = before.inputs.data<float>(), *z = after.inputs.data<float>();
    int kept = 0, taken = 0;
    for (int64_t p = 0; p < 192; ++p) kept += z[p] == x[p], taken += z[p] == x[192 + p];
    // A box may be empty, and then nothing shows it.
    ++(kept == 192 ? counts.untouched : kept + taken == 192 ? counts.cut : counts.blended);
  }
  return counts;
}

TEST(Mix, ChancesAreThoseOfTheOptions) {
  const Counts never = count_kinds({.mixup = 0.8, .cutmix = 1, .chance = 0});
  EXPECT_EQ(never.untouched, 1000);
  const Counts half = count_kinds({.mixup = 0.8, .chance = 0.5});
  EXPECT_NEAR(half.blended, 500, 79);  // five standard deviations, here and below
  EXPECT_EQ(half.cut, 0);
  const Counts both = count_kinds({.mixup = 0.8, .cutmix = 1, .cutmix_chance = 0.3});
  EXPECT_NEAR(both.blended, 700, 73);
  EXPECT_EQ(count_kinds({.cutmix = 1, .cutmix_chance = 0}).blended, 0);  // nothing to choose from
  EXPECT_EQ(count_kinds({.mixup = 1, .cutmix_chance = 1}).blended, 1000);
}

/// Beta(a, a) has the mean 1/2 and the variance 1 / (4 (2 a + 1)). (lambda - 1/2)^2 lies in
/// [0, 1/4], so its own variance is at most v (1/4 - v). Five standard deviations.
TEST(Mix, LambdaIsOfTheBetaDistribution) {
  const int n = 20000;
  for (const double alpha : {0.2, 0.8, 1.0, 4.0}) {
    double sum = 0, squares = 0;
    for (int64_t k = 0; k < n; ++k) {
      Batch batch = make_batch(2, 1, 1, 2 * k);
      const int64_t own = batch.labels.data<int64_t>()[0];
      mix_batch(batch, {.mixup = alpha, .run = 2, .classes = kClasses}, 0);
      const double centred = batch.labels.data<float>()[own] - 0.5;
      sum += centred, squares += centred * centred;
    }
    const double v = 1 / (4 * (2 * alpha + 1));
    EXPECT_NEAR(sum / n, 0, 5 * std::sqrt(v / n)) << alpha;
    EXPECT_NEAR(squares / n, v, 5 * std::sqrt(v * (0.25 - v) / n)) << alpha;
  }
}

/// timm smooths both labels and mixes them; cross_entropy smooths what is mixed. Both are linear.
TEST(Mix, SmoothingIsThatOfTimm) {
  const int64_t B = 6;
  const double smoothing = 0.1;
  const Batch before = make_batch(B, 2, 2);
  Batch mixed = copy(before);
  mix_batch(mixed, {.mixup = 0.8, .run = B, .classes = kClasses}, 0);
  const double lambda = lambdas(mixed, before, B)[0];
  Tensor logits = Tensor::empty({B, kClasses});
  const RandomKey key{1, 2, 3, 4};
  for (int64_t k = 0; k < logits.numel(); ++k) {
    logits.data<float>()[k] = 6 * key.uniform(static_cast<uint64_t>(k)) - 3;
  }
  Tape tape;
  const Tensor losses = cross_entropy(tape.input(logits), mixed.labels, smoothing).value();
  for (int64_t i = 0; i < B; ++i) {
    const float* x = logits.data<float>() + i * kClasses;
    const int64_t own = before.labels.data<int64_t>()[i];
    const int64_t other = before.labels.data<int64_t>()[partner(i, B, B)];
    double sum = 0, expected = 0;
    for (int64_t c = 0; c < kClasses; ++c) sum += std::exp(double{x[c]});
    const auto smooth = [&](int64_t label, int64_t c) {
      const double off = smoothing / kClasses;
      return c == label ? 1 - smoothing + off : off;
    };
    for (int64_t c = 0; c < kClasses; ++c) {
      const double target = lambda * smooth(own, c) + (1 - lambda) * smooth(other, c);
      expected -= target * (x[c] - std::log(sum));
    }
    // Sums of 16 terms and a few functions, of numbers up to 3 + log(16 exp(3)) = 9.
    EXPECT_NEAR(losses.data<float>()[i], expected, 9 * (2 * kClasses + 8) * 0x1p-24);
  }
}

/// The mixer of a configuration at work in a loader: partners stay within micro-batches, and the
/// workers change nothing.
TEST(Mix, BatchesAreTheSameWithAnyWorkers) {
  Config config;
  apply_overrides(
      config, std::vector<std::string>{"data.augment=deit", "data.image=8", "data.train_size=40",
                                       "train.batch=12", "train.mixup=0.8", "train.cutmix=1",
                                       "clip.rule=min", "clip.micro_batch=3"});
  const auto dataset = open_data(config, Split::train, true);
  const auto batches = [&](int64_t workers, bool mixes) {
    LoaderOptions options{.batch = 12, .shuffle = true, .workers = workers};
    if (mixes) options.finish = batch_mixer(config, kClasses);
    Loader loader(dataset, options);
    std::vector<Batch> all;
    for (int64_t epoch : {0, 1}) {
      loader.start_epoch(epoch);
      while (auto batch = loader.next()) all.push_back(std::move(*batch));
    }
    return all;
  };
  const std::vector<Batch> plain = batches(0, false), expected = batches(0, true);
  ASSERT_EQ(expected.size(), 8u);
  for (size_t k = 0; k < expected.size(); ++k) {
    lambdas(expected[k], plain[k], 3);
    EXPECT_EQ(bytes_of(expected[k].ids), bytes_of(plain[k].ids));
  }
  for (int64_t workers : {1, 2, 4}) {
    const std::vector<Batch> actual = batches(workers, true);
    ASSERT_EQ(actual.size(), expected.size());
    for (size_t k = 0; k < actual.size(); ++k) EXPECT_TRUE(same(actual[k], expected[k])) << k;
  }
  EXPECT_FALSE(static_cast<bool>(batch_mixer(Config(), kClasses)));  // off unless asked for
}

TEST(Mix, PlainTrainingMixesAllOfTheBatch) {
  Config config;
  apply_overrides(config, std::vector<std::string>{"train.mixup=1", "train.batch=6"});
  const Batch before = make_batch(6, 2, 2);
  Batch mixed = copy(before);
  batch_mixer(config, kClasses)(mixed, 0);
  EXPECT_LT(lambdas(mixed, before, 6)[0], 1);
}

TEST(Mix, Errors) {
  Batch batch = make_batch(4, 2, 2);
  expect_error([&] { mix_batch(batch, {.mixup = 1, .run = 2, .classes = 3}, 0); },
               {"[0, 3)", "got 4"});
  batch.inputs = Tensor::zeros({4, 3, 2, 2}, DType::uint8);
  expect_error([&] { mix_batch(batch, {.mixup = 1, .run = 2, .classes = 16}, 0); },
               {"float32", "uint8 [4, 3, 2, 2]"});
}

}  // namespace
}  // namespace minnow
