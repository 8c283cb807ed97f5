#include <gtest/gtest.h>
#include <omp.h>

#include <cmath>

#include "engine/grouped_backward.h"
#include "kernels/conv2d_weight.h"
#include "kernels/launch.h"
#include "kernels/random.h"
#include "tests/op_case.h"
#include "tests/op_run.h"

/// Norms and updates of convolutions of every kind, each group against a run of it alone.
namespace minnow::test {
namespace {

/// A convolution that fits its picture, drawn from all that the op takes: grouped, depthwise,
/// dilated, strided, 1x1, uneven kernels.
struct Drawn {
  Shape x, weight;
  Conv2dOptions options;
  bool bias;
  int64_t micro_batch;
};

Drawn draw(uint64_t seed) {
  RandomSequence random(RandomKey{seed, 1, 0, 0});
  const auto from = [&](int64_t low, int64_t high) {
    return low + static_cast<int64_t>(random.uniform(0, 1) * static_cast<double>(high - low + 1));
  };
  Drawn d;
  const int64_t kind = from(0, 3);  // 0: plain, 1: grouped, 2: depthwise, 3: 1x1
  const int64_t groups = kind == 0 || kind == 3 ? 1 : from(1, 4);
  const int64_t each = kind == 2 ? 1 : from(1, 3), filters = from(1, 3);
  const int64_t kh = kind == 3 ? 1 : from(1, 4), kw = kind == 3 ? 1 : from(1, 4);
  d.options = {.stride = from(1, 3),
               .padding = kind == 3 ? 0 : from(0, 2),
               .dilation = from(1, 2),
               .groups = groups};
  const auto side = [&](int64_t kernel) { return d.options.dilation * (kernel - 1) + from(1, 6); };
  const int64_t examples = from(1, 6);
  d.x = {examples, groups * each, side(kh), side(kw)};
  d.weight = {groups * filters, each, kh, kw};
  d.bias = from(0, 1) == 1;
  d.micro_batch = from(1, examples);
  return d;
}

Sample sample_of(const Drawn& d) {
  Sample s;
  s.label = "drawn";
  s.inputs = {d.x};
  s.parameters = {d.weight};
  if (d.bias) s.parameters.push_back({d.weight[0]});
  s.forward = [d](Tape&, const Vars& v, const ParameterRefs& p, int64_t, int64_t) {
    return conv2d(v[0], *p[0], d.bias ? p[1] : nullptr, d.options);
  };
  return s;
}

double largest(const std::vector<double>& values) {
  double most = 0;
  for (double v : values) most = std::max(most, std::abs(v));
  return most;
}

/// Every element within `rounding` of the largest one.
void expect_close(const Tensor& got, const Tensor& expected, double rounding) {
  const auto a = on_cpu(got).to(DType::float64).to_vector<double>();
  const auto b = on_cpu(expected).to_vector<double>();
  ASSERT_EQ(a.size(), b.size());
  const double bound = rounding * std::max(1.0, largest(b));
  for (size_t i = 0; i < b.size(); ++i) ASSERT_NEAR(a[i], b[i], bound) << i;
}

GroupedStep step(OpRun& run, const Drawn& d, Strategy strategy, int64_t wave) {
  ClipState state;
  return clipped_gradient(run.parameter_list(), Grouping::runs(d.x[0], d.micro_batch),
                          run.loss_fn(), {.rule = Rule::min}, state,
                          {.strategy = strategy, .wave = wave, .tau = 8});
}

/// In `dtype` by every strategy against each group alone in float64, whose products are plain
/// loops; and the output and the gradient of x, which know no groups.
void expect_oracle(const Drawn& d, DType dtype, double eps) {
  const Sample sample = sample_of(d);
  OpRun exact(sample, DType::float64), run(sample, dtype);
  const Tensor y = exact.forward();
  // The longest sums: a filter's taps, an output's share of x, a weight's positions in all
  // examples; each product's factors and, in a clipped update, norm and coefficient are rounded
  // besides.
  const int64_t taps = numel(d.weight) / d.weight[0], outputs = y.numel() / d.weight[0];
  const double rounding = 4 * static_cast<double>(taps * d.weight[0] + outputs + 8) * eps;
  expect_close(run.forward(), y, rounding);
  const Gradients a = run.gradients(), b = exact.gradients();
  expect_close(a.inputs[0], b.inputs[0], rounding);
  const GroupedStep oracle = step(exact, d, Strategy::loop, 0);
  for (Strategy strategy :
       {Strategy::automatic, Strategy::instantiate, Strategy::norm_only, Strategy::loop}) {
    for (int64_t wave : {0, 2}) {
      if (wave > 0 && strategy != Strategy::automatic) continue;
      const GroupedStep got = step(run, d, strategy, wave);
      for (size_t j = 0; j < oracle.groups.norms.size(); ++j) {
        const double norm = oracle.groups.norms[j];
        ASSERT_NEAR(got.groups.norms[j], norm, rounding * std::max(1.0, norm));
      }
      for (size_t l = 0; l < oracle.update.size(); ++l) {
        expect_close(got.update[l], oracle.update[l], rounding);
      }
    }
  }
}

TEST(RandomConvolutions, HundredShapesMatchTheLoop) {
  for (uint64_t seed = 0; seed < 100; ++seed) {
    const Drawn d = draw(seed);
    SCOPED_TRACE(
        fmt::format("seed {}: x {}, weight {}, stride {}, padding {}, dilation {}, groups {}, b {}",
                    seed, to_string(d.x), to_string(d.weight), d.options.stride, d.options.padding,
                    d.options.dilation, d.options.groups, d.micro_batch));
    expect_oracle(d, DType::float64, 0x1p-53);
    expect_oracle(d, DType::float32, 0x1p-24);
  }
}

/// Groups of weight 0 cut the batch into pieces, which are added up; what they hold is never read.
TEST(RandomConvolutions, WeightedSumsPassOverGroupsWithoutWeight) {
  using T = float;  // names the kernel's type
  const ConvShape shape{.batch = 7,
                        .channels = 8,
                        .height = 6,
                        .width = 6,
                        .filters = 4,
                        .kernel_h = 3,
                        .kernel_w = 3,
                        .padding = 1};
  const int64_t sizes[] = {2, 1, 0, 3, 1};
  const std::vector<double> c = {1, 0, 3, 0, 2};
  const Grouping grouping = Grouping::sizes(sizes);
  const Tensor x = random_normal({7, 8, 6, 6}, 1, DType::float32);
  const Tensor g = random_normal({7, 4, 6, 6}, 2, DType::float32);
  const auto sum_of = [&](double first) {
    Tensor sum = on_device(Tensor::full({4, 8, 3, 3}, first));
    const Tensor weights = on_device(Tensor::from(c, {5})), on_x = on_device(x),
                 on_g = on_device(g);
    MINNOW_KERNEL(test_device(), conv_weighted_sum<T>)
    (shape, grouping.segments(7, test_device()), on_x.data<float>(), on_g.data<float>(),
     weights.data<double>(), static_cast<float>(first != 0), sum.data<float>());
    return on_cpu(sum).to_vector<float>();
  };
  const double factor[] = {1, 1, 0, 0, 0, 0, 2};
  std::vector<double> expected(4 * 8 * 3 * 3, 0.0);
  for (size_t at = 0; at < expected.size(); ++at) {
    const auto i = static_cast<int64_t>(at), f = i / 72, channel = i / 9 % 8;
    for (int64_t e = 0; e < 7; ++e) {
      for (int64_t out = 0; out < 36; ++out) {
        const int64_t row = out / 6 + i / 3 % 3 - 1, column = out % 6 + i % 3 - 1;
        if (row < 0 || row >= 6 || column < 0 || column >= 6) continue;
        expected[at] += factor[e] * double{g.data<float>()[(e * 4 + f) * 36 + out]} *
                        double{x.data<float>()[((e * 8 + channel) * 6 + row) * 6 + column]};
      }
    }
  }
  // Three examples of 36 positions, each a product of numbers below 5 times a factor of 2.
  const double bound = 2 * 3 * 36 * 0x1p-24 * 2 * 25;
  for (double first : {0.0, 0.5}) {
    const auto clean = sum_of(first);
    for (size_t i = 0; i < clean.size(); ++i)
      ASSERT_NEAR(clean[i], first + expected[i], bound) << i;
    x.slice(2, 6).fill(std::nan(""));
    EXPECT_EQ(sum_of(first), clean);
    x.copy_from(random_normal({7, 8, 6, 6}, 1, DType::float32));
  }
}

/// Two pictures so large that the library takes them one by one inside of a parallel region: their
/// norm is that of the sum. Everything is constant, so that sums are whole numbers below 2^24.
TEST(RandomConvolutions, NormsOfLargePicturesAreThoseOfTheirSum) {
  const int64_t examples = 4, channels = 16, side = 512;
  const ConvShape shape{.batch = examples,
                        .channels = channels,
                        .height = side,
                        .width = side,
                        .filters = 1,
                        .kernel_h = 3,
                        .kernel_w = 3,
                        .padding = 1};
  const Tensor x = Tensor::empty({examples, channels, side, side}, DType::float32);
  for (int64_t e = 0; e < examples; ++e) x.slice(e, e + 1).fill(static_cast<double>(e + 1));
  const Tensor g = Tensor::full({examples, 1, side, side}, 1, DType::float32);
  const int64_t bounds[] = {0, 2, 4};
  std::vector<double> sumsq(2);
  const int threads = omp_get_max_threads();
  omp_set_num_threads(2);  // as many as groups: each is one thread's
  cpu::conv_group_sumsq<float>(shape, {2, bounds, bounds}, x.data<float>(), g.data<float>(),
                               sumsq.data());
  omp_set_num_threads(threads);
  for (int j = 0; j < 2; ++j) {
    double expected = 0;
    for (int tap = 0; tap < 9; ++tap) {
      const int64_t rows = tap / 3 == 1 ? side : side - 1, columns = tap % 3 == 1 ? side : side - 1;
      const auto sum = static_cast<double>((j == 0 ? 1 + 2 : 3 + 4) * rows * columns);
      expected += channels * sum * sum;
    }
    // Squares are rounded, and so is each sum of 144 of them.
    EXPECT_NEAR(sumsq[j], expected, 145 * 0x1p-24 * expected);
  }
}

/// Pictures so large that the library takes few examples at a time; each alone is one part.
TEST(RandomConvolutions, LargePicturesGoThroughInParts) {
  const int64_t examples = 5, channels = 16, side = 512;
  const ConvShape shape{.batch = examples,
                        .channels = channels,
                        .height = side,
                        .width = side,
                        .filters = 1,
                        .kernel_h = 3,
                        .kernel_w = 3,
                        .padding = 1};
  ConvShape one = shape;
  one.batch = 1;
  const Tensor x = random_normal({examples, channels, side, side}, 1, DType::float32);
  const Tensor g = random_normal({examples, 1, side, side}, 2, DType::float32);
  const std::vector<float> factor = {1, -2, 0.5f, 3, 1};
  const int64_t taps = shape.taps(), area = side * side;
  std::vector<float> whole(static_cast<size_t>(taps), 1), alone(whole);
  const int64_t bounds[] = {0, 1, 2, 3, 4, 5};
  const std::vector<double> c(factor.begin(), factor.end());
  cpu::conv_weighted_sum<float>(shape, {5, bounds, bounds}, x.data<float>(), g.data<float>(),
                                c.data(), 1, whole.data());
  for (int64_t e = 0; e < examples; ++e) {
    cpu::conv_weighted_sum<float>(one, {1, bounds, bounds}, x.data<float>() + e * channels * area,
                                  g.data<float>() + e * area, c.data() + e, 1, alone.data());
  }
  // Sums of as many products as there are positions, whose roundings fall both ways: a random walk
  // of 5 * 512 * 512 steps of at most eps times the largest partial sum, some 1e4.
  const double bound = std::sqrt(static_cast<double>(examples * area)) * 0x1p-24 * 1e4;
  for (int64_t i = 0; i < taps; ++i) ASSERT_NEAR(whole[i], alone[i], bound) << i;

  const Tensor w = random_normal({1, channels, 3, 3}, 3, DType::float32);
  std::vector<float> y(static_cast<size_t>(examples * area)), y_alone(y);
  std::vector<float> gx(static_cast<size_t>(x.numel())), gx_alone(gx);
  cpu::conv2d_forward<float>(shape, x.data<float>(), w.data<float>(), nullptr, y.data());
  cpu::conv2d_backward<float>(shape, g.data<float>(), w.data<float>(), gx.data());
  for (int64_t e = 0; e < examples; ++e) {
    cpu::conv2d_forward<float>(one, x.data<float>() + e * channels * area, w.data<float>(), nullptr,
                               y_alone.data() + e * area);
    cpu::conv2d_backward<float>(one, g.data<float>() + e * area, w.data<float>(),
                                gx_alone.data() + e * channels * area);
  }
  // An output is a sum of 144 products of numbers below 6, an input's gradient one of 9.
  for (size_t i = 0; i < y.size(); ++i) ASSERT_NEAR(y[i], y_alone[i], 144 * 0x1p-24 * 36) << i;
  for (size_t i = 0; i < gx.size(); ++i) ASSERT_NEAR(gx[i], gx_alone[i], 9 * 0x1p-24 * 36) << i;
}

}  // namespace
}  // namespace minnow::test
