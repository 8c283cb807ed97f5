/// The grouped kernels alone, at sizes that take more than one tile, strip and block, against the
/// obvious loops.

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "kernels/clip.h"
#include "kernels/outer.h"
#include "kernels/reduce.h"
#include "kernels/rescaled_sum.h"
#include "tests/op_case.h"

namespace minnow::test {
namespace {

constexpr double eps = std::numeric_limits<float>::epsilon();

/// Groups of 1, 0, 520 and 9 rows: one with the shortcut, an empty one, and one past a block of
/// rows.
const std::vector<int64_t> bounds = {0, 1, 1, 521, 530};
constexpr int64_t groups = 4, rows = 530;
const Segments segments = {groups, bounds.data(), bounds.data()};

struct Operands {
  Operands(int64_t in, int64_t out)
      : in(in),
        out(out),
        a(random_normal({rows, in}, 1, DType::float32)),
        g(random_normal({rows, out}, 2, DType::float32)) {}

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
};

/// A dot product of m standard normal pairs rounds by less than m eps; its size is about sqrt(m).
double bound(int64_t m) {
  return 2 * static_cast<double>(m) * eps;
}

TEST(GroupedKernels, OuterProductsOfEveryKind) {
  // 65536 / 4100 is less than 16 outputs to a tile: 17 outputs take two.
  const Operands x(4100, 17);
  const int64_t size = x.in * x.out;
  const Tensor sums = Tensor::full({groups, x.out, x.in}, 7);
  std::vector<double> sumsq(groups, -1), norm_only(groups, -1);
  cpu::outer_group_sums(segments, x.in, x.out, x.a.data<float>(), x.g.data<float>(), 0.0f,
                        sums.data<float>(), sumsq.data());
  cpu::outer_group_sumsq(segments, x.in, x.out, x.a.data<float>(), x.g.data<float>(),
                         norm_only.data());
  const std::vector<double> c = {3, 0.5, -2, 0.25};
  const Tensor weighted = Tensor::full({x.out, x.in}, 1);
  cpu::outer_weighted_sum(segments, x.in, x.out, x.a.data<float>(), x.g.data<float>(), c.data(),
                          1.0f, weighted.data<float>());
  for (int64_t o = 0; o < x.out; o += 4) {
    for (int64_t i = 0; i < x.in; i += 37) {
      double expected = 1;
      for (int64_t j = 0; j < groups; ++j) {
        const double p = x.product(j, o, i);
        ASSERT_NEAR(sums.data<float>()[j * size + o * x.in + i], p, bound(520)) << j;
        expected += c[j] * p;
      }
      ASSERT_NEAR(weighted.data<float>()[o * x.in + i], expected, 3 * bound(rows));
    }
  }
  for (int64_t j = 0; j < groups; ++j) {
    const double expected = x.squares(j);
    EXPECT_NEAR(sumsq[j], expected, 1e-5 * expected) << j;
    EXPECT_NEAR(norm_only[j], expected, 1e-5 * expected) << j;
  }
}

TEST(GroupedKernels, GroupsWithoutWeightAreNotRead) {
  const Operands x(5, 3);
  const std::vector<double> c = {0, 1, 0, 2};
  const Tensor clean = Tensor::empty({x.out, x.in}), poisoned = Tensor::empty({x.out, x.in});
  const auto run = [&](const Tensor& into) {
    cpu::outer_weighted_sum(segments, x.in, x.out, x.a.data<float>(), x.g.data<float>(), c.data(),
                            0.0f, into.data<float>());
  };
  run(clean);
  for (int64_t r = bounds[2]; r < bounds[3]; ++r) {
    x.a.slice(r, r + 1).fill(std::nan(""));
    x.g.slice(r, r + 1).fill(HUGE_VAL);
  }
  run(poisoned);
  EXPECT_EQ(poisoned.to_vector<float>(), clean.to_vector<float>());
}

TEST(GroupedKernels, RowSums) {
  constexpr int64_t width = 2500;  // three strips, the last one short
  const Tensor x = random_normal({rows, width}, 3, DType::float32);
  const Tensor sums = Tensor::full({groups, width}, 1), sum = Tensor::full({width}, 1);
  const std::vector<double> c = {3, 0.5, -2, 0.25};
  std::vector<double> sumsq(groups);
  cpu::segment_sums(segments, width, x.data<float>(), 1.0f, sums.data<float>(), sumsq.data());
  cpu::weighted_row_sum(segments, width, x.data<float>(), c.data(), 0.0f, sum.data<float>());
  std::vector<double> squares(groups, 0);
  for (int64_t i = 0; i < width; ++i) {
    double weighted = 0;
    for (int64_t j = 0; j < groups; ++j) {
      double own = 0;
      for (int64_t r = bounds[j]; r < bounds[j + 1]; ++r)
        own += double{x.data<float>()[r * width + i]};
      ASSERT_NEAR(sums.data<float>()[j * width + i], 1 + own, bound(520));
      squares[j] += (1 + own) * (1 + own);
      weighted += c[j] * own;
    }
    ASSERT_NEAR(sum.data<float>()[i], weighted, 3 * bound(rows));
  }
  for (int64_t j = 0; j < groups; ++j) EXPECT_NEAR(sumsq[j], squares[j], 1e-5 * squares[j]);
}

TEST(GroupedKernels, RescaledSumAndGram) {
  constexpr int64_t n = 5000;  // three blocks, the last one short
  const Tensor x = random_normal({groups, n}, 4, DType::float32);
  const std::vector<double> c = {0.5, 0, -2, 0.25};
  const Tensor sum = Tensor::full({n}, 1);
  x.slice(1, 2).fill(std::nan(""));  // weight 0: not read
  cpu::rescaled_sum(groups, n, x.data<float>(), c.data(), 2.0f, sum.data<float>());
  const auto at = [&](int64_t j, int64_t i) { return double{x.data<float>()[j * n + i]}; };
  for (int64_t i = 0; i < n; ++i) {
    const double expected = 2 + 0.5 * at(0, i) - 2 * at(2, i) + 0.25 * at(3, i);
    ASSERT_NEAR(sum.data<float>()[i], expected, 16 * 4 * eps);
  }
  x.slice(1, 2).fill(0.5);
  std::vector<double> products(groups * groups, 1);  // accumulates
  cpu::gram(groups, n, x.data<float>(), products.data());
  for (int64_t i = 0; i < groups; ++i) {
    for (int64_t j = 0; j < groups; ++j) {
      double expected = 1;
      for (int64_t k = 0; k < n; ++k) expected += at(i, k) * at(j, k);
      EXPECT_NEAR(products[i * groups + j], expected, bound(n)) << i << ", " << j;
    }
  }
}

TEST(GroupedKernels, NormsAndMinimum) {
  const std::vector<double> sumsq = {9, 1, 0, 16, 3, 0};  // two layers, three groups
  std::vector<double> norms(3);
  cpu::group_norms(2, 3, sumsq.data(), norms.data());
  EXPECT_EQ(norms, (std::vector<double>{5, 2, 0}));
  const std::vector<uint8_t> all = {1, 1, 1}, some = {1, 0, 0}, nobody = {0, 0, 0};
  EXPECT_EQ(cpu::norm_minimum(3, norms.data(), all.data()).index, 2);
  EXPECT_EQ(cpu::norm_minimum(3, norms.data(), some.data()).value, 5);
  EXPECT_EQ(cpu::norm_minimum(3, norms.data(), nobody.data()).index, -1);
}

}  // namespace
}  // namespace minnow::test
