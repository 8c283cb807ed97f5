#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "engine/grouped_backward.h"
#include "kernels/ctc.h"
#include "kernels/launch.h"
#include "kernels/log_add.h"
#include "tests/golden.h"
#include "tests/op_run.h"
#include "tests/ops/ctc_targets.h"

namespace minnow::test {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double nan = std::numeric_limits<double>::quiet_NaN();

using Numbers = std::vector<double>;

Numbers numbers(const Tensor& x) {
  return on_cpu(x).to(DType::float64).to_vector<double>();
}

struct Result {
  Numbers losses, gx;
};

/// Losses, and the gradient of sum(gy losses); gy undefined: of their sum.
Result run(const Tensor& x, const CtcTargets& targets, Tensor gy = Tensor()) {
  if (!gy.defined()) gy = Tensor::full({x.dim(0)}, 1, x.dtype());
  Tape tape;
  const Var leaf = tape.leaf(on_device(x));
  const Var losses = ctc_loss(leaf, targets);
  SumSink sink;
  tape.backward(losses, on_device(gy.clone()), sink);
  return {numbers(losses.value()), numbers(tape.gradient(leaf))};
}

/// Both infinite, both NaN, or within `bound`.
void expect_same(const Numbers& got, const Numbers& expected, double bound,
                 const std::string& what) {
  ASSERT_EQ(got.size(), expected.size()) << what;
  for (size_t i = 0; i < got.size(); ++i) {
    if (std::isfinite(expected[i])) {
      ASSERT_NEAR(got[i], expected[i], bound) << what << ", element " << i;
    } else {
      ASSERT_TRUE(std::isnan(expected[i]) ? std::isnan(got[i]) : got[i] == expected[i])
          << what << ", element " << i << ": " << got[i] << ", not " << expected[i];
    }
  }
}

double largest_finite(const Numbers& x) {
  double most = 1;
  for (double v : x) most = std::isfinite(v) ? std::max(most, std::abs(v)) : most;
  return most;
}

/// The recursions are in float64: in each frame some 16 roundings of log-probabilities, which are
/// of the size of the loss where they matter.
double recursion_bound(int64_t frames, double loss) {
  return static_cast<double>(16 * frames) * std::max(loss, 1.0) * 0x1p-52;
}
/// Besides, each frame's log sum e^x is off by as much as the sum of `classes` terms, and of its
/// exponentials, is relative to itself; and the loss is rounded.
double loss_bound(int64_t frames, int64_t classes, double loss, double eps) {
  return (static_cast<double>(frames * (classes + 4)) + loss) * eps + recursion_bound(frames, loss);
}
/// A probability of the softmax is rounded as its sum is, and the posteriors of its class, one for
/// each label that is it, are subtracted in turn. The recursion runs both ways for them, but what a
/// frame's log sum e^x is off by they have in common.
double gradient_bound(int64_t frames, int64_t classes, int64_t labels, double loss, double eps) {
  return static_cast<double>(classes + labels + 4) * eps + 2 * recursion_bound(frames, loss);
}

/// Beside a largest argument of 0 nothing but the function's own roundings is left: of the sum, at
/// most 3, of its terms and of its logarithm, at most log 3.
TEST(LogAdd, AgreesWithTheStandardLibrary) {
  for (double a = -40; a <= 0; a += 0.037) {
    const long double x = std::exp(static_cast<long double>(a));
    EXPECT_NEAR(log_add(a, 0), static_cast<double>(std::log1p(x)), 0x1p-50) << a;
    for (double b = -40; b <= 0; b += 1.3) {
      const long double y = std::exp(static_cast<long double>(b));
      EXPECT_NEAR(log_add(a, b, 0), static_cast<double>(std::log1p(x + y)), 0x1p-50)
          << a << ", " << b;
    }
  }
  EXPECT_EQ(log_add(log_zero, log_zero), log_zero);
  EXPECT_EQ(log_add(log_zero, -3, log_zero), -3);
  EXPECT_EQ(log_add(-800, 0), 0);
  EXPECT_EQ(exp_below(1e-9), 1);  // as far above 0 as the sums of a long utterance may be
  EXPECT_EQ(exp_below(-709), 0);
  EXPECT_TRUE(std::isnan(exp_below(nan)));
}

TEST(CtcLoss, AgreesWithPyTorch) {
  const Golden golden("ctc");
  for (const std::string& name : golden.cases_of("ctc")) {
    const auto at = [&](const char* what) { return golden.at(name + what); };
    const CtcTargets targets{at(".lengths"), at(".labels"), at(".label_counts")};
    const Numbers losses = numbers(at(".y")), gx = numbers(at(".dx"));
    const Tensor x = at(".x");
    const int64_t frames = x.dim(1), classes = x.dim(2), labels = targets.labels.dim(1);
    const double loss = largest_finite(losses), gy = largest_finite(numbers(at(".dy")));
    for (const DType dtype : {DType::float32, DType::float64}) {
      const double eps = dtype == DType::float32 ? 0x1p-23 : 0x1p-52;
      const auto what = fmt::format("{} {}", name, to_string(dtype));
      const Result got = run(x.to(dtype), targets, at(".dy").to(dtype));
      expect_same(got.losses, losses, loss_bound(frames, classes, loss, eps), what + ", losses");
      expect_same(got.gx, gx, gy * gradient_bound(frames, classes, labels, loss, eps),
                  what + ", gradient");
    }
  }
}

TEST(CtcLoss, EvaluationGivesTheSameLosses) {
  const Tensor x = random_normal({2, 9, 5}, 3, DType::float32);
  const CtcTargets targets = ctc_targets({9, 7}, {{1, 2, 2, 4}, {3}});
  Tape tape(Tape::Mode::evaluate);
  EXPECT_EQ(numbers(ctc_loss(tape.input(on_device(x)), targets).value()), run(x, targets).losses);
}

TEST(CtcLoss, NanSpoilsItsExampleAndNoOther) {
  const CtcTargets targets = ctc_targets({4, 4, 3}, {{1, 2}, {1, 1}, {2}});
  const Tensor x = random_normal({3, 4, 3}, 5, DType::float32);
  const Result clean = run(x, targets);
  for (int64_t t = 0; t < 4; ++t) {
    for (int64_t k = 0; k < 3; ++k) {
      const Tensor spoilt = x.clone();
      spoilt.data<float>()[(4 + t) * 3 + k] = static_cast<float>(nan);
      Result expected = clean;
      expected.losses[1] = nan;
      std::fill_n(expected.gx.begin() + 12, 12, nan);
      const Result got = run(spoilt, targets);
      expect_same(got.losses, expected.losses, 0, "losses");
      expect_same(got.gx, expected.gx, 0, "gradient");
    }
  }
}

TEST(CtcLoss, FramesBehindTheLengthAreNotReadAndGetNoGradient) {
  const CtcTargets targets = ctc_targets({3, 0}, {{1, 2}, {}});
  const Tensor x = random_normal({2, 5, 3}, 6, DType::float32), spoilt = x.clone();
  std::fill_n(spoilt.data<float>() + 9, 21, static_cast<float>(nan));
  // A seed that is infinite does not make a NaN of those zeros either.
  const Tensor gy = Tensor::from(std::vector<float>{1, static_cast<float>(infinity)}, {2});
  const Result expected = run(x, targets), got = run(spoilt, targets, gy);
  EXPECT_EQ(got.losses, expected.losses);
  EXPECT_EQ(got.losses[1], 0);
  EXPECT_EQ(got.gx, expected.gx);
  for (size_t i = 9; i < got.gx.size(); ++i) ASSERT_EQ(got.gx[i], 0) << i;
}

TEST(CtcLoss, ClassesMayBeRuledOut) {
  const Tensor x = Tensor::full({2, 3, 4}, 0);
  for (int64_t t = 0; t < 3; ++t) {
    x.data<float>()[t * 4 + 3] = static_cast<float>(-infinity);        // nobody asks for it
    x.data<float>()[(3 + t) * 4 + 2] = static_cast<float>(-infinity);  // a label
  }
  const CtcTargets targets = ctc_targets({3, 3}, {{1, 2}, {1, 2}});
  const Result got = run(x, targets);
  // 112 122 012 102 120 of 27 equally likely alignments.
  EXPECT_NEAR(got.losses[0], std::log(27.0 / 5), loss_bound(3, 4, 3, 0x1p-23));
  EXPECT_EQ(got.losses[1], infinity);
  for (size_t i = 0; i < 24; ++i) ASSERT_EQ(std::isnan(got.gx[i]), i >= 12) << i;
}

TEST(CtcLoss, LargeLogitsKeepTheirDigits) {
  // Beside 2^24 a float32 has no fraction left: only differences of logits may enter.
  const Tensor x = Tensor::from(std::vector<float>{16777216, 16777214}, {1, 1, 2});
  const double expected = 2 + std::log1p(std::exp(-2.0));
  EXPECT_NEAR(run(x, ctc_targets({1}, {{1}})).losses[0], expected, 0x1p-21 * expected);
}

/// -log probability by the recursion as it stands in the paper, over blanks and labels in turn.
long double loss_by_the_book(int64_t frames, int64_t classes, const double* x, const Labels& l) {
  const int64_t states = 2 * std::ssize(l) + 1;
  const auto label = [&](int64_t s) { return s % 2 == 0 ? 0 : l[s / 2]; };
  std::vector<long double> alpha(static_cast<size_t>(states), -infinity);
  const auto add = [](long double a, long double b) {
    const long double most = std::max(a, b);
    return most == -infinity ? most : most + std::log(std::exp(a - most) + std::exp(b - most));
  };
  for (int64_t t = 0; t < frames; ++t, x += classes) {
    long double lse = -infinity;
    for (int64_t k = 0; k < classes; ++k) lse = add(lse, x[k]);
    for (int64_t s = states - 1; s >= 0; --s) {  // downwards: what it reads is of the last frame
      long double sum = t == 0 ? (s < 2 ? 0 : -infinity) : alpha[s];
      if (t > 0 && s > 0) sum = add(sum, alpha[s - 1]);
      if (t > 0 && s > 1 && label(s) != 0 && label(s) != label(s - 2)) sum = add(sum, alpha[s - 2]);
      alpha[s] = sum + x[label(s)] - lse;
    }
  }
  return -(states == 1 ? alpha[0] : add(alpha[states - 1], alpha[states - 2]));
}

TEST(CtcLoss, LongUtterancesLoseNothing) {
  constexpr int64_t frames = 2000, classes = 30;
  Labels labels;
  for (int64_t i = 0; i < 300; ++i) labels.push_back(1 + i * i % 13);
  const CtcTargets targets = ctc_targets({frames}, {labels});
  const Tensor x = random_normal({1, frames, classes}, 8, DType::float32).to(DType::float64);
  const auto expected =
      static_cast<double>(loss_by_the_book(frames, classes, x.data<double>(), labels));
  const Result exact = run(x, targets), single = run(x.to(DType::float32), targets);
  EXPECT_NEAR(exact.losses[0], expected, loss_bound(frames, classes, expected, 0x1p-52));
  EXPECT_NEAR(single.losses[0], expected, loss_bound(frames, classes, expected, 0x1p-23));
  const double loose = gradient_bound(frames, classes, 300, expected, 0x1p-23);
  expect_same(single.gx, exact.gx, loose, "gradient");
  // Softmax and posterior both add up to 1.
  const double tight = classes * gradient_bound(frames, classes, 300, expected, 0x1p-52);
  for (int64_t t = 0; t < frames; ++t) {
    double sum = 0;
    for (int64_t k = 0; k < classes; ++k) sum += exact.gx[t * classes + k];
    ASSERT_NEAR(sum, 0, tight) << "frame " << t;
  }
}

/// Where the numbers lie on a GPU the op does not read them.
TEST(CtcLoss, NumbersOutOfRangeSpoilTheirExampleAndNoOther) {
  const CtcShape shape{.batch = 7, .frames = 4, .classes = 3, .labels = 2};
  const Tensor x = on_device(random_normal({7, 4, 3}, 4, DType::float32));
  const auto device = [](const std::vector<int64_t>& values, Shape shape) {
    return on_device(Tensor::from(values, std::move(shape)));
  };
  const Tensor lengths = device({4, 5, -1, 4, 4, 4, 4}, {7});
  const Tensor counts = device({2, 2, 2, 3, -1, 2, 2}, {7});
  const Tensor labels = device({1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 3, 0, 2}, {7, 2});
  const Tensor losses = on_device(Tensor::zeros({7})), gx = on_device(Tensor::zeros(x.shape()));
  MINNOW_ON(test_device(), ctc_forward<float>)
  (shape, x.data<float>(), lengths.data<int64_t>(), labels.data<int64_t>(), counts.data<int64_t>(),
   losses.data<float>(), gx.data<float>());
  MINNOW_ON(test_device(), ctc_backward<float>)
  (shape, lengths.data<int64_t>(), losses.data<float>(), gx.data<float>());
  for (size_t b = 0; b < 7; ++b) EXPECT_EQ(std::isnan(numbers(losses)[b]), b > 0) << b;
  const Numbers g = numbers(gx);
  for (size_t i = 0; i < g.size(); ++i) ASSERT_EQ(std::isnan(g[i]), i >= 12) << i;
}

/// A target that does not fit, in the second of three micro-batches: the step is that of the other
/// two. `length` frames: 2, and its gradient is NaN; none, and its gradient is 0.
void expect_left_out(int64_t length) {
  constexpr int64_t frames = 5, features = 3, classes = 4;
  const Tensor x = on_device(random_normal({6, frames, features}, 1));
  Parameter weight = random_parameter("weight", {classes, features}, 2);
  weight.value = on_device(weight.value);
  const CtcTargets targets =
      ctc_targets({5, 4, 5, length, 3, 5}, {{1, 2}, {3}, {2}, {1, 1}, {1, 3}, {2, 2}});
  const auto loss_of = [&](const std::vector<int64_t>& examples) -> LossFn {
    return [&, examples](Tape& tape, int64_t begin, int64_t end) {
      const Tensor mine = on_device(Tensor::empty({end - begin, frames, features}, x.dtype()));
      std::vector<int64_t> lengths;
      std::vector<Labels> labels;
      for (int64_t i = begin; i < end; ++i) {
        const int64_t e = examples[i], n = targets.label_counts.data<int64_t>()[e];
        mine.slice(i - begin, i - begin + 1).copy_from(x.slice(e, e + 1));
        lengths.push_back(targets.lengths.data<int64_t>()[e]);
        const int64_t* l = targets.labels.data<int64_t>() + 2 * e;
        labels.emplace_back(l, l + n);
      }
      return ctc_loss(linear(tape.input(mine), weight), ctc_targets(lengths, labels));
    };
  };
  const ClipRule rule{.rule = Rule::min, .on_nonfinite = OnNonfinite::drop};
  for (const Strategy strategy :
       {Strategy::loop, Strategy::automatic, Strategy::instantiate, Strategy::norm_only}) {
    ClipState state;
    const GroupedOptions options{.strategy = strategy, .tau = 3};
    const GroupedStep all = clipped_gradient({&weight}, Grouping::runs(6, 2),
                                             loss_of({0, 1, 2, 3, 4, 5}), rule, state, options);
    const GroupedStep rest = clipped_gradient({&weight}, Grouping::runs(4, 2),
                                              loss_of({0, 1, 4, 5}), rule, state, options);
    EXPECT_EQ(numbers(all.losses)[3], infinity);
    EXPECT_EQ(all.groups.nonfinite, 1);
    EXPECT_EQ(rest.groups.nonfinite, 0);
    EXPECT_FALSE(all.groups.skipped);
    // The same sums, perhaps in another order.
    expect_same(numbers(all.update[0]), numbers(rest.update[0]), 1e-14, "update");
    EXPECT_NE(numbers(all.update[0]), Numbers(classes * features, 0));
  }
}

TEST(CtcLoss, MicroBatchOfInfiniteLossIsLeftOut) {
  for (int64_t length : {2, 0}) {
    SCOPED_TRACE(length);
    expect_left_out(length);
  }
}

}  // namespace
}  // namespace minnow::test
