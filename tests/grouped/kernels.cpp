/// The grouped kernels alone, at sizes that take more than one tile, strip and block, against the
/// obvious loops.

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "engine/groups.h"
#include "engine/memory.h"
#include "kernels/clip.h"
#include "kernels/launch.h"
#include "kernels/outer.h"
#include "kernels/reduce.h"
#include "kernels/rescaled_sum.h"
#include "tests/op_case.h"

namespace minnow::test {
namespace {

using T = float;  // of the kernels, for MINNOW_KERNEL
constexpr double eps = std::numeric_limits<float>::epsilon();

/// Groups of 1, 0, 520 and 9 rows: one with the shortcut, an empty one, and one past a block of
/// rows.
const std::vector<int64_t> bounds = {0, 1, 1, 521, 530};
constexpr int64_t groups = 4, rows = 530;
Grouping four_groups() {
  const int64_t sizes[] = {1, 0, 520, 9};
  return Grouping::sizes(sizes);
}

Tensor empty(const Shape& shape, DType dtype = DType::float32) {
  return Tensor::empty(shape, dtype, test_device());
}
Tensor full(const Shape& shape, double value, DType dtype = DType::float32) {
  return Tensor::full(shape, value, dtype, test_device());
}
/// A number a group, for the kernels.
Tensor numbers(const std::vector<double>& values) {
  return on_device(Tensor::from(values, {std::ssize(values)}));
}

struct Operands {
  Operands(int64_t in, int64_t out)
      : in(in),
        out(out),
        a(random_normal({rows, in}, 1, DType::float32)),
        g(random_normal({rows, out}, 2, DType::float32)),
        device_a(on_device(a)),
        device_g(on_device(g)) {}

  /// sum over group j of g[r, o] a[r, i], in float64.
  double product(int64_t j, int64_t o, int64_t i) const {
    double sum = 0;
    for (int64_t r = bounds[j]; r < bounds[j + 1]; ++r) {
      sum += double{g.data<float>()[r * out + o]} * double{a.data<float>()[r * in + i]};
    }
    return sum;
  }
  double squares(int64_t j) const {
    double sum = 0;
    for (int64_t o = 0; o < out; ++o) {
      for (int64_t i = 0; i < in; ++i) {
        const double p = product(j, o, i);
        sum += p * p;
      }
    }
    return sum;
  }

  int64_t in, out;
  Tensor a, g;
  Tensor device_a, device_g;
};

/// A dot product of m standard normal pairs rounds by less than m eps; its size is about sqrt(m).
double bound(int64_t m) {
  return 2 * static_cast<double>(m) * eps;
}

TEST(GroupedKernels, OuterProductsOfEveryKind) {
  // 65536 / 4100 is less than 16 outputs to a tile: 17 outputs take two.
  const Operands x(4100, 17);
  const Grouping grouping = four_groups();
  const Segments segments = grouping.segments(rows, test_device());
  float *a = x.device_a.data<float>(), *g = x.device_g.data<float>();
  const int64_t size = x.in * x.out;
  const Tensor all = full({groups, x.out, x.in}, 7), sum = full({x.out, x.in}, 1);
  const Tensor with_sums = full({groups}, -1, DType::float64), alone = with_sums.clone();
  MINNOW_KERNEL(test_device(), outer_group_sums<T>)
  (segments, x.in, x.out, a, g, 0.0f, all.data<float>(), with_sums.data<double>());
  MINNOW_KERNEL(test_device(), outer_group_sumsq<T>)
  (segments, x.in, x.out, a, g, alone.data<double>());
  const std::vector<double> c = {3, 0.5, -2, 0.25};
  const Tensor weights = numbers(c);
  MINNOW_KERNEL(test_device(), outer_weighted_sum<T>)
  (segments, x.in, x.out, a, g, weights.data<double>(), 1.0f, sum.data<float>());
  const auto sums = all.to_vector<float>(), weighted = sum.to_vector<float>();
  for (int64_t o = 0; o < x.out; o += 4) {
    for (int64_t i = 0; i < x.in; i += 37) {
      double expected = 1;
      for (int64_t j = 0; j < groups; ++j) {
        const double p = x.product(j, o, i);
        ASSERT_NEAR(sums[j * size + o * x.in + i], p, bound(520)) << j;
        expected += c[j] * p;
      }
      ASSERT_NEAR(weighted[o * x.in + i], expected, 3 * bound(rows));
    }
  }
  const auto sumsq = with_sums.to_vector<double>(), norm_only = alone.to_vector<double>();
  for (int64_t j = 0; j < groups; ++j) {
    const double expected = x.squares(j);
    EXPECT_NEAR(sumsq[j], expected, 1e-5 * expected) << j;
    EXPECT_NEAR(norm_only[j], expected, 1e-5 * expected) << j;
  }
}

TEST(GroupedKernels, GroupsWithoutWeightAreNotRead) {
  const Operands x(5, 3);
  const Grouping grouping = four_groups();
  const Segments segments = grouping.segments(rows, test_device());
  const Tensor c = numbers({0, 1, 0, 2});
  const auto run = [&] {
    const Tensor sum = empty({x.out, x.in});
    MINNOW_KERNEL(test_device(), outer_weighted_sum<T>)
    (segments, x.in, x.out, x.device_a.data<float>(), x.device_g.data<float>(), c.data<double>(),
     0.0f, sum.data<float>());
    return sum.to_vector<float>();
  };
  const auto clean = run();
  x.device_a.slice(bounds[2], bounds[3]).fill(std::nan(""));
  x.device_g.slice(bounds[2], bounds[3]).fill(HUGE_VAL);
  EXPECT_EQ(run(), clean);
}

TEST(GroupedKernels, RowSums) {
  constexpr int64_t width = 2500;  // three strips, the last one short
  const Grouping grouping = four_groups();
  const Segments segments = grouping.segments(rows, test_device());
  const Tensor x = random_normal({rows, width}, 3, DType::float32), device_x = on_device(x);
  const Tensor all = full({groups, width}, 1), one = full({width}, 1);
  const std::vector<double> c = {3, 0.5, -2, 0.25};
  const Tensor weights = numbers(c), squared = empty({groups}, DType::float64);
  MINNOW_ON(test_device(), segment_sums<T>)
  (segments, width, device_x.data<float>(), 1.0f, all.data<float>(), squared.data<double>());
  MINNOW_ON(test_device(), weighted_row_sum<T>)
  (segments, width, device_x.data<float>(), weights.data<double>(), 0.0f, one.data<float>());
  const auto sums = all.to_vector<float>(), sum = one.to_vector<float>();
  std::vector<double> squares(groups, 0);
  for (int64_t i = 0; i < width; ++i) {
    double weighted = 0;
    for (int64_t j = 0; j < groups; ++j) {
      double own = 0;
      for (int64_t r = bounds[j]; r < bounds[j + 1]; ++r)
        own += double{x.data<float>()[r * width + i]};
      ASSERT_NEAR(sums[j * width + i], 1 + own, bound(520));
      squares[j] += (1 + own) * (1 + own);
      weighted += c[j] * own;
    }
    ASSERT_NEAR(sum[i], weighted, 3 * bound(rows));
  }
  const auto sumsq = squared.to_vector<double>();
  for (int64_t j = 0; j < groups; ++j) EXPECT_NEAR(sumsq[j], squares[j], 1e-5 * squares[j]);
}

TEST(GroupedKernels, RescaledSumAndGram) {
  constexpr int64_t n = 5000;  // three blocks, the last one short
  const Tensor x = random_normal({groups, n}, 4, DType::float32), device_x = on_device(x).clone();
  const Tensor weights = numbers({0.5, 0, -2, 0.25}), one = full({n}, 1);
  device_x.slice(1, 2).fill(std::nan(""));  // weight 0: not read
  MINNOW_ON(test_device(), rescaled_sum<T>)
  (groups, n, device_x.data<float>(), weights.data<double>(), 2.0f, one.data<float>());
  const auto sum = one.to_vector<float>();
  const auto at = [&](int64_t j, int64_t i) { return double{x.data<float>()[j * n + i]}; };
  for (int64_t i = 0; i < n; ++i) {
    const double expected = 2 + 0.5 * at(0, i) - 2 * at(2, i) + 0.25 * at(3, i);
    ASSERT_NEAR(sum[i], expected, 16 * 4 * eps);
  }
  device_x.copy_from(x);
  const Tensor accumulated = full({groups, groups}, 1, DType::float64);
  MINNOW_ON(test_device(), gram<T>)
  (groups, n, device_x.data<float>(), accumulated.data<double>());
  const auto products = accumulated.to_vector<double>();
  // Sums in float32 run over at most 1024 columns, and are then added in float64. Of a group with
  // itself no term cancels: n roundings of up to 1024 eps / 2, which fall both ways.
  const double limit = 1024 * std::sqrt(static_cast<double>(n)) * eps;
  for (int64_t i = 0; i < groups; ++i) {
    for (int64_t j = 0; j < groups; ++j) {
      double expected = 1;
      for (int64_t k = 0; k < n; ++k) expected += at(i, k) * at(j, k);
      EXPECT_NEAR(products[i * groups + j], expected, limit) << i << ", " << j;
    }
  }
}

}  // namespace
}  // namespace minnow::test
