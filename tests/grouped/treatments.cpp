#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "tests/device.h"
#include "tests/grouped/problem.h"
#include "tests/op_case.h"
#include "tests/op_run.h"

// What GroupedOptions::observe hears.
namespace minnow::test {
namespace {

Problem text_problem() {
  for (Problem& problem : problems(DType::float32)) {
    if (problem.name == "text") return std::move(problem);
  }
  throw std::logic_error("no text problem");
}

struct Seen {
  double rows;
  bool instantiated;
};

/// By the parameter's name. Micro-batches of one example.
std::map<std::string, Seen> treatments(const Problem& problem, GroupedOptions options) {
  std::map<std::string, Seen> seen;
  options.observe = [&](const Treatment& t) { seen[t.parameter.name] = {t.rows, t.instantiated}; };
  ClipState state;
  clipped_gradient(problem.parameters(), Grouping::runs(problem.examples(), 1), problem.loss(),
                   {.rule = Rule::min}, state, options);
  return seen;
}

TEST(Treatments, AreThoseOfTheRowsOfAMicroBatch) {
  const Problem problem = text_problem();
  const double tokens = static_cast<double>(problem.inputs.dim(1));
  for (const double tau : {tokens, tokens + 1}) {
    const auto seen = treatments(problem, {.tau = tau});
    EXPECT_EQ(seen.size(), problem.parameters().size());
    int64_t dense = 0;
    for (const Parameter* p : problem.parameters()) {
      const Seen& s = seen.at(p->name);
      if (s.rows == 0) {  // the table of word vectors
        EXPECT_FALSE(s.instantiated) << p->name;
      } else if (std::isinf(s.rows)) {  // biases and norms
        EXPECT_TRUE(s.instantiated) << p->name;
      } else {
        EXPECT_EQ(s.instantiated, s.rows >= tau) << p->name;
        dense += s.rows == tokens;
      }
    }
    EXPECT_GE(dense, 4);  // of each block
  }
}

// As tau would have it, and on a CPU the larger one only if that pays for rearranging it, too.
TEST(Treatments, OfConvolutionsCountTheRearrangementOfLargeGradients) {
  Sample sample;
  sample.inputs = {{2, 64, 4, 4}};
  sample.parameters = {{256, 64, 3, 3}, {16, 256, 3, 3}};
  sample.forward = [](Tape&, const Vars& v, const ParameterRefs& p, int64_t, int64_t) {
    const Conv2dOptions options{.padding = 1};
    return conv2d(conv2d(v[0], *p[0], nullptr, options), *p[1], nullptr, options);
  };
  OpRun run(sample, DType::float32);
  std::vector<Seen> seen;
  ClipState state;
  clipped_gradient(run.parameter_list(), Grouping::runs(2, 1), run.loss_fn(), {.rule = Rule::min},
                   state, {.tau = 16, .observe = [&](const Treatment& t) {
                             seen.push_back({t.rows, t.instantiated});
                           }});
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_EQ(seen[0].rows, 16);  // the last layer's, which comes first
  EXPECT_TRUE(seen[0].instantiated);
  EXPECT_EQ(seen[1].instantiated, test_device().is_cuda());
}

TEST(Treatments, AreNoneWhereMicroBatchesAreAlone) {
  const Problem problem = text_problem();
  EXPECT_TRUE(treatments(problem, {.strategy = Strategy::loop, .tau = 8}).empty());
  EXPECT_TRUE(treatments(problem, {.memory_budget = 1, .tau = 8}).empty());
}

}  // namespace
}  // namespace minnow::test
