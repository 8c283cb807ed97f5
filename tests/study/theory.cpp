#include "train/study/theory.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>

#include "kernels/random.h"
#include "tests/expect_error.h"
#include "train/study/simulation.h"
#include "train/study/theory_report.h"
#include "train/study/theory_runs.h"

namespace minnow::study {
namespace {

/// Constants whose bounds can be computed by hand; 1 - epsilon = 1/2.
constexpr Constants kByHand{.epsilon = 0.5, .sigma = 2, .c = 1, .C = 3, .L = 2, .gap = 8, .B = 16};

/// No dragger is ever drawn: random numbers are 2^-33 or more.
constexpr double kNever = 1e-12;

TEST(StudyTheory, BoundsAreThoseComputedByHand) {
  // sqrt(2 . 2 . 8 + 4 / 16) / 2 and sqrt(4 . 2 / (1/4) . 8 + 2 . 4 / (1/2 . 16)) / 2
  EXPECT_DOUBLE_EQ(plain_bound(kByHand, 16), std::sqrt(32.25) / 2);
  EXPECT_DOUBLE_EQ(sgd_bound(kByHand, 16), std::sqrt(257.0) / 2);
  // (2 . 1/2 . 4 - 1/4) / (2 . 1/4)
  EXPECT_DOUBLE_EQ(sgd_dragger_limit(kByHand, 16), std::sqrt(7.5));
  // (2 . 4 (1/2 - 1/16) - 1/4 - 1/64) / (1/4 + 1/64) = 207 / 17
  EXPECT_DOUBLE_EQ(sgd_dragger_limit_counted(kByHand, 16), std::sqrt(207.0 / 17));
  // 2 / ((3 . 1/2 - 1/2) . 2); 1/4 . 3/2 . (2 . 2 (1 + 3) / (1/2)) . (8 + 1/4)
  EXPECT_DOUBLE_EQ(clipped_bias(kByHand, 9), 1);
  EXPECT_DOUBLE_EQ(clipped_transient(kByHand, 9, 16), 99);
  EXPECT_DOUBLE_EQ(clipped_bound(kByHand, 9, 16), 100);
  // 2 / sqrt 4 + 3 / (1/2 . 4) . 2 . 8.25
  EXPECT_DOUBLE_EQ(repaired_bound(kByHand, 8, 16), 25.75);
}

TEST(StudyTheory, Theorem2SaysNothingOfSmallMicroBatches) {
  EXPECT_TRUE(std::isinf(clipped_bound(kByHand, 1, 16)));  // epsilon = 1 / (b + 1)
  Constants rare = kByHand;
  rare.epsilon = 0.2;
  EXPECT_TRUE(std::isinf(clipped_bias(rare, 3)));
  EXPECT_TRUE(std::isfinite(clipped_bias(rare, 5)));
  EXPECT_TRUE(std::isfinite(repaired_bound(rare, 1, 16)));
}

TEST(StudyTheory, BiasFallsWithTheMicroBatch) {
  for (double b = 2; b < 4096; b *= 2)
    EXPECT_LT(clipped_bias(kByHand, 2 * b), clipped_bias(kByHand, b));
}

TEST(StudyTheory, AStepOfTheProofFails) {
  // |g| = |mu| = 1, epsilon = 1/2, Delta = g, within epsilon (|mu| + |g|) = 1.
  EXPECT_NEAR(star(0.5, 0.5, 1), 1.5 / std::sqrt(2.5) - std::sqrt(0.5), 1e-15);
  EXPECT_DOUBLE_EQ(star_claim(0.5, 0.5, 1), 0.25);
  EXPECT_LT(star(0.5, 0.5, 1), star_claim(0.5, 0.5, 1));
}

TEST(StudyTheory, LemmaHoldsUnderItsConditions) {
  for (double epsilon = 0.05; epsilon < 1; epsilon += 0.1) {
    for (double dragger = 0; dragger < 4; dragger += 0.25) {
      for (double along = 0.01; along < 5; along += 0.11)
        EXPECT_GE(star(epsilon, dragger, along), -1e-15) << epsilon << ' ' << dragger;
    }
  }
}

/// A round bowl, whose gradient at w is w.
Problem bowl(Constants constants) {
  return {.constants = constants, .curvature = {1, 1}};
}

TEST(StudySimulation, DescentWithoutNoiseIsThatOfTheClosedForm) {
  const Constants still{.epsilon = kNever, .sigma = 0, .gap = 8, .B = 4};
  const int64_t T = 100;
  const double eta = 0.1, start = 4;  // 1 / sqrt T; sqrt(2 gap)
  const Course sgd = simulate(bowl(still), Method::sgd, 4, T, 3);
  EXPECT_NEAR(sgd.average, start * (1 - std::pow(1 - eta, T)) / (eta * T), 1e-12);
  EXPECT_NEAR(sgd.stretches[99], start * std::pow(1 - eta, 99), 1e-12);
  // Steps of length eta: 4, 3.9, ... down to 0 after 40, and then to and fro, by rounding errors.
  const Course normalised = simulate(bowl(still), Method::normalised, 2, T, 3);
  for (int t = 0; t <= 39; ++t) EXPECT_NEAR(normalised.stretches[t], start - eta * t, 1e-12);
  EXPECT_LE(normalised.last, eta + 1e-12);
  // All micro-batches are alike: rho is their norm.
  EXPECT_NEAR(simulate(bowl(still), Method::min_norm, 2, T, 3).average, sgd.average, 1e-12);
}

TEST(StudySimulation, DraggersComeAsOftenAndAsLongAsTheyShould) {
  const Constants k{.epsilon = 0.3, .sigma = 0, .c = 2, .C = 2, .gap = 8, .B = 1};
  const double eta = std::sqrt(0.5), g = 4;  // T = 2
  const int runs = 2000;
  int draggers = 0;
  for (int seed = 0; seed < runs; ++seed) {
    const double sgd = simulate(bowl(k), Method::sgd, 1, 2, seed).stretches[1];
    const double unit = simulate(bowl(k), Method::normalised, 1, 2, seed).stretches[1];
    const bool dragger = sgd > g;
    EXPECT_NEAR(sgd, dragger ? g * std::sqrt(1 + eta * eta * 4) : g * (1 - eta), 1e-12);
    EXPECT_NEAR(unit, dragger ? std::hypot(g, eta) : g - eta, 1e-12);
    draggers += dragger ? 1 : 0;
  }
  EXPECT_NEAR(draggers, 0.3 * runs, 5 * std::sqrt(0.3 * 0.7 * runs));  // 5 standard deviations
}

TEST(StudySimulation, NoiseHasItsVariance) {
  for (const Noise noise : {Noise::normal, Noise::two_point, Noise::skewed}) {
    Problem p = bowl({.epsilon = kNever, .sigma = 3, .gap = 8, .B = 4});
    p.noise = noise;
    // After a step of SGD, E|w|^2 = (1 - eta)^2 16 + eta^2 sigma^2 / B.
    const double eta = std::sqrt(0.5), expected = (1 - eta) * (1 - eta) * 16 + eta * eta * 9 / 4;
    const int runs = 4000;
    double sum = 0, squares = 0;
    for (int seed = 0; seed < runs; ++seed) {
      const double square = std::pow(simulate(p, Method::sgd, 4, 2, seed).stretches[1], 2);
      sum += square / runs;
      squares += square * square / runs;
    }
    const double error = std::sqrt((squares - sum * sum) / runs);
    EXPECT_NEAR(sum, expected, 5 * error) << static_cast<int>(noise);
  }
}

TEST(StudySimulation, GradientsAreThoseOfTheLosses) {
  for (const Loss loss : {Loss::quadratic, Loss::nonconvex, Loss::norm}) {
    const Problem p{.constants = {.L = 2}, .curvature = {2, 0.5, 1}, .loss = loss};
    const std::vector<double> w{0.3, -1.2, 0.7};
    std::vector<double> gradient(3), unused(3);
    evaluate(p, w, gradient);
    for (size_t i = 0; i < w.size(); ++i) {
      const double h = 1e-5;  // central differences: h^2 and eps / h are near 1e-10
      std::vector<double> up = w, down = w;
      up[i] += h;
      down[i] -= h;
      const double slope = (evaluate(p, up, unused) - evaluate(p, down, unused)) / (2 * h);
      EXPECT_NEAR(gradient[i], slope, 1e-8) << static_cast<int>(loss);
    }
  }
}

TEST(StudySimulation, RepeatsItself) {
  const Problem p{.constants = {.B = 8}};
  const Course one = simulate(p, Method::normalised, 2, 50, 7);
  EXPECT_EQ(one.stretches, simulate(p, Method::normalised, 2, 50, 7).stretches);
  EXPECT_NE(one.stretches, simulate(p, Method::normalised, 2, 50, 8).stretches);
  expect_error([&] { simulate(p, Method::sgd, 3, 50, 7); }, {"b must divide B", "3 and 8"});
  const Problem flat{.constants = {.gap = 100}, .loss = Loss::nonconvex};
  expect_error([&] { simulate(flat, Method::sgd, 1, 50, 7); }, {"gap", "100"});
}

TEST(StudySimulation, StaysBelowTheRepairedBound) {
  RandomSequence random({.seed = 5});
  for (int i = 0; i < 40; ++i) {
    Problem p;
    p.constants = {.epsilon = random.uniform(0.05, 0.9),
                   .sigma = random.uniform(0, 8),
                   .c = random.uniform(0, 1),
                   .C = random.uniform(1, 20),
                   .L = random.uniform(0.5, 2),
                   .gap = random.uniform(0.5, 20),
                   .B = 16};
    p.noise = i % 2 == 0 ? Noise::normal : Noise::two_point;
    const int64_t b = int64_t{1} << random.below(5), T = 400;
    EXPECT_LE(simulate(p, Method::normalised, b, T, i).average,
              repaired_bound(p.constants, static_cast<double>(b), T))
        << i;
  }
}

/// A value for each of five seeds.
Numbers around(double mean, double noise) {
  return {mean - noise, mean + noise, mean, mean + noise / 2, mean - noise / 2};
}

TEST(StudyTheory, SweetSpotNeedsClearDifferences) {
  const std::vector<int64_t> sizes{1, 4, 16};
  const auto judge = [&](std::vector<Numbers> values) {
    return judge_sweet_spot(sizes, values).verdict;
  };
  const Numbers low = around(1, 0.1), middle = around(2, 0.01), high = around(3, 0.1);
  EXPECT_EQ(judge({high, low, high}), Verdict::holds);
  EXPECT_EQ(judge({low, middle, high}), Verdict::fails);
  EXPECT_EQ(judge({low, high, middle}), Verdict::fails);
  EXPECT_EQ(judge({around(2, 2), low, high}), Verdict::unclear);  // within the noise of one end
  EXPECT_EQ(judge({low, around(1.1, 2), high}), Verdict::unclear);
  EXPECT_EQ(judge({{1}, {0}, {1}}), Verdict::unclear);
  EXPECT_EQ(judge_sweet_spot({1, 4}, {low, high}).verdict, Verdict::unclear);
  // p = 0.03 for one test, 0.09 for three.
  const Numbers zeros(5), ahead{1, 2, 3, 4, 0.4};
  const PairedTest one = paired_t_test(zeros, ahead);
  EXPECT_LT(one.p, 0.05);
  EXPECT_GT(3 * one.p, 0.05);
  const Judged judged = judge_sweet_spot(sizes, {ahead, zeros, ahead});
  EXPECT_EQ(judged.verdict, Verdict::unclear);
  EXPECT_NE(judged.why.find(fmt::format("p = {:.1g}", 3 * one.p)), std::string::npos);
}

TEST(StudyTheory, OptionsComeAsKeyValue) {
  TheoryOptions options;
  for (const char* argument :
       {"epsilon=0.1", "C=5", "gap=1", "T=10,200", "b=1,2", "B=4", "seeds=3", "loss=nonconvex"})
    set_option(options, argument);
  check_options(options);
  EXPECT_EQ(options.constants.epsilon, 0.1);
  EXPECT_EQ(options.T, (std::vector<int64_t>{10, 200}));
  EXPECT_EQ(options.loss, Loss::nonconvex);
  EXPECT_NE(describe(options).find("T=10,200"), std::string::npos);
}

TEST(StudyTheory, WrongOptionsAreNamed) {
  TheoryOptions options;
  expect_error([&] { set_option(options, "eps=1"); }, {"no key 'eps'", "epsilon, sigma"});
  expect_error([&] { set_option(options, "epsilon"); }, {"key=value", "'epsilon'"});
  expect_error([&] { set_option(options, "sigma=1x"); }, {"sigma", "'1x'"});
  expect_error([&] { set_option(options, "T=1,,2"); }, {"T", "''"});
  expect_error([&] { set_option(options, "loss=flat"); }, {"quadratic or nonconvex", "'flat'"});
  const std::pair<const char*, const char*> cases[] = {
      {"epsilon=1", "between 0 and 1; got 1"},
      {"sigma=-1", "sigma"},
      {"sigma=inf", "sigma"},
      {"c=3", "from 0 to C; got 3 and 2"},
      {"L=0", "L: must"},
      {"gap=nan", "gap"},
      {"B=0", "B: must"},
      {"b=3", "divide B"},
      {"b=4,2", "ascend"},
      {"T=5", "ascend from 10"},
      {"seeds=0", "seeds: "},
      {"loss=nonconvex", "gap: the loss must reach it; 10"},
      {"epsilon=nan", "epsilon"}};
  for (const auto& [argument, message] : cases) {
    TheoryOptions changed;
    set_option(changed, argument);
    expect_error([&] { check_options(changed); }, {message});
  }
}

}  // namespace
}  // namespace minnow::study
