#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "tests/grouped/problem.h"

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

TEST(Treatments, AreNoneWhereMicroBatchesAreAlone) {
  const Problem problem = text_problem();
  EXPECT_TRUE(treatments(problem, {.strategy = Strategy::loop, .tau = 8}).empty());
  EXPECT_TRUE(treatments(problem, {.memory_budget = 1, .tau = 8}).empty());
}

}  // namespace
}  // namespace minnow::test
