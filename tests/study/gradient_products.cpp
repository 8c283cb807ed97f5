#include "train/study/gradient_products.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "engine/ops.h"
#include "tests/device.h"
#include "tests/expect_error.h"
#include "tests/grouped/problem.h"

namespace minnow::study {
namespace {

/// Losses that are linear in the weights of two layers: the gradient of example i is row i of
/// `planted`, its first two elements in layer "a" and the others in layer "b".
struct Linear {
  Parameter a{.name = "a.weight", .value = Tensor::full({1, 2}, 0.5, DType::float64, device())};
  Parameter b{.name = "b.weight", .value = Tensor::full({1, 2}, -1, DType::float64, device())};
  std::vector<std::vector<double>> planted;
  int64_t largest_pass = 0;

  static Device device() { return test::test_device(); }
  Parameters parameters() { return {&a, &b}; }
  Tensor columns(Examples examples, int64_t first) const {
    std::vector<double> values;
    for (int64_t i : examples) {
      values.insert(values.end(), planted[i].begin() + first, planted[i].begin() + first + 2);
    }
    return Tensor::from(values, {std::ssize(examples), 2}).to(device());
  }
  LossOf loss() {
    return [this](Examples examples) {
      return [this, examples](Tape& tape, int64_t begin, int64_t end) {
        largest_pass = std::max(largest_pass, end - begin);
        const Examples now = examples.subspan(begin, end - begin);
        const Var y = add(linear(tape.input(columns(now, 0)), a),
                          linear(tape.input(columns(now, 2)), b));  // [n, 1]
        return reshape(y, {end - begin});
      };
    };
  }
};

/// Of examples of a problem's batch, each with its own dropout.
LossOf loss_of(const test::Problem& problem) {
  return [&problem](Examples examples) {
    return [&problem, examples](Tape& tape, int64_t begin, int64_t end) {
      return problem.losses(tape, examples.subspan(begin, end - begin));
    };
  };
}

std::vector<int64_t> first(int64_t n) {
  std::vector<int64_t> all(static_cast<size_t>(n));
  std::iota(all.begin(), all.end(), 0);
  return all;
}

// Small integers: every product and sum is exact, in any order.
TEST(GradientProducts, AreThoseOfPlantedGradients) {
  Linear model;
  model.planted = {{1, 0, 0, 2}, {0, 3, 1, 0}, {1, 1, 1, 1}, {-2, 0, 0, -4}, {0, 5, 0, 0}};
  // Another gradient: the plain one of all five examples' mean, five times.
  const std::vector<Tensor> sum{
      Tensor::from(std::vector<double>{0, 9}, {1, 2}).to(model.device()),
      Tensor::from(std::vector<double>{2, -1}, {1, 2}).to(model.device())};
  auto rows = model.planted;
  rows.push_back({0, 9, 2, -1});
  for (int64_t block : {2, 3, 4, 5, 100}) {
    model.largest_pass = 0;
    const GradientProducts products =
        gradient_products(model.parameters(), first(5), model.loss(), block, {sum});
    EXPECT_LE(model.largest_pass, block);
    ASSERT_EQ(products.size, 6);
    ASSERT_EQ(products.layers, (std::vector<std::string>{"a", "b"}));
    const std::vector<double> whole = products.whole();
    for (size_t i = 0; i < 6; ++i) {
      for (size_t j = 0; j < 6; ++j) {
        const double a = rows[i][0] * rows[j][0] + rows[i][1] * rows[j][1];
        const double b = rows[i][2] * rows[j][2] + rows[i][3] * rows[j][3];
        EXPECT_EQ(products.by_layer[0][i * 6 + j], a) << "block " << block << " " << i << " " << j;
        EXPECT_EQ(products.by_layer[1][i * 6 + j], b) << "block " << block << " " << i << " " << j;
        EXPECT_EQ(whole[i * 6 + j], a + b);
      }
    }
  }
}

TEST(GradientProducts, AFrozenLayerHasNone) {
  Linear model;
  model.planted = {{1, 2, 3, 4}, {5, 6, 7, 8}};
  model.a.trainable = false;
  const auto products = gradient_products(model.parameters(), first(2), model.loss(), 2);
  EXPECT_EQ(products.layers, std::vector<std::string>{"b"});
  EXPECT_EQ(products.whole(), (std::vector<double>{25, 53, 53, 113}));
}

/// The groups have no gradient in "a", but the other has one.
TEST(GradientProducts, OthersOfALayerThatTheLossDoesNotReach) {
  Linear model;
  model.planted = {{0, 0, 3, 4}, {0, 0, 7, 8}};
  const LossFn without_a = [&](Tape& tape, int64_t begin, int64_t end) {
    const Var y = linear(tape.input(model.columns(first(2), 2)), model.b);
    return reshape(y, {end - begin});
  };
  const std::vector<Tensor> other{
      Tensor::from(std::vector<double>{2, -3}, {1, 2}).to(model.device()),
      Tensor::from(std::vector<double>{1, 1}, {1, 2}).to(model.device())};
  const auto products =
      parameter_grams(model.parameters(), Grouping::runs(2, 1), without_a, {other});
  const auto of = [&](size_t l) { return test::on_cpu(products[l]).to_vector<double>(); };
  EXPECT_EQ(of(0), (std::vector<double>{0, 0, 0, 0, 0, 0, 0, 0, 13}));
  EXPECT_EQ(of(1), (std::vector<double>{25, 53, 7, 53, 113, 15, 7, 15, 2}));
}

TEST(GradientProducts, ABlockHasTwoExamples) {
  Linear model;
  model.planted = {{1, 2, 3, 4}};
  expect_error([&] { gradient_products(model.parameters(), first(1), model.loss(), 1); },
               {"block", "at least 2", "got 1"});
}

// Real models, whose parameters are every bilinear form: blocks against one pass, and that against
// gram(). Each product is the same float64 sum in another order of rows.
TEST(GradientProducts, BlocksOfAModelAreItsGram) {
  for (const test::Problem& problem : test::problems(DType::float64)) {
    const int64_t n = problem.examples();
    const Parameters parameters = problem.parameters();
    const std::vector<double> expected =
        gram(parameters, Grouping::runs(n, 1), problem.loss()).to_vector<double>();
    for (int64_t block : {4, 7}) {
      const auto whole = gradient_products(parameters, first(n), loss_of(problem), block).whole();
      for (int64_t e = 0; e < n * n; ++e) {
        const double size = std::sqrt(expected[e / n * (n + 1)] * expected[e % n * (n + 1)]);
        EXPECT_NEAR(whole[e], expected[e], 1e-12 * size) << problem.name << " block " << block;
      }
    }
  }
}

}  // namespace
}  // namespace minnow::study
