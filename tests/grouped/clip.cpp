/// The kernels from norms to coefficients alone: one small table after another, on the test device.

#include "kernels/clip.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/memory.h"
#include "kernels/launch.h"
#include "tests/op_case.h"

namespace minnow::test {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

using Numbers = std::vector<double>;
using Integers = std::vector<int64_t>;

struct Given {
  ClipRule rule;
  int64_t layers = 1;
  Integers sizes;         ///< examples of each group
  Numbers sumsq;          ///< [L, K]
  Integers domains = {};  ///< of each group, or none
  Numbers thresholds = {};
  Numbers losses = {};  ///< of each example; none: all 0
};

/// A table in memory of its own: what begin, see (in waves that end at `cut` and at K) and finish
/// make of what is given.
class Table {
 public:
  explicit Table(const Given& given, int64_t cut = 0) {
    table_.rule = given.rule;
    table_.layers = given.layers;
    table_.groups = std::ssize(given.sizes);
    table_.scopes = given.rule.scope == Scope::layer ? given.layers : 1;
    Integers bounds{0};
    for (int64_t size : given.sizes) bounds.push_back(bounds.back() + size);
    table_.bounds = put(bounds);
    losses_ =
        put(given.losses.empty() ? Numbers(static_cast<size_t>(bounds.back()), 0.0) : given.losses);
    if (!given.domains.empty()) {
      table_.domains = 1 + *std::max_element(given.domains.begin(), given.domains.end());
      table_.domain = put(given.domains);
    }
    if (!given.thresholds.empty()) table_.thresholds = put(given.thresholds);
    const int64_t k = table_.groups, s = table_.scopes, d = table_.domains;
    table_.sumsq = make(given.layers * k);
    table_.norms = make(k);
    for (double** each : {&table_.deciding, &table_.factors, &table_.weights}) *each = make(s * k);
    table_.coefficients = make(s * k);
    table_.rho = make(s * d);
    table_.common = make(s * d);
    table_.examples = make(s);
    table_.taking_part = make(s);
    table_.summary = reinterpret_cast<ClipSummary*>(make(sizeof(ClipSummary) / sizeof(double)));
    table_.skipped = put(std::vector<uint8_t>{7});

    MINNOW_ON(test_device(), clip_begin)(table_);
    if (cut > 0) see(given, 0, cut);
    if (cut < k) see(given, cut, k);
    MINNOW_ON(test_device(), clip_finish)(table_);
  }

  Numbers sumsq() const { return read(table_.sumsq, table_.layers * table_.groups); }
  Numbers norms() const { return read(table_.norms, table_.groups); }
  Numbers factors() const { return read(table_.factors, table_.scopes * table_.groups); }
  Numbers weights() const { return read(table_.weights, table_.scopes * table_.groups); }
  Numbers coefficients() const { return read(table_.coefficients, table_.scopes * table_.groups); }
  Numbers common() const { return read(table_.common, table_.scopes * table_.domains); }
  Numbers taking_part() const { return read(table_.taking_part, table_.scopes); }
  Numbers thresholds() const { return read(table_.thresholds, table_.scopes); }
  ClipSummary summary() const { return read(table_.summary, 1).front(); }
  bool skipped() const { return read(table_.skipped, 1).front() != 0; }

 private:
  template <class X>
  X* put(const std::vector<X>& values) {
    kept_.push_back(on_device(Tensor::from(values, {std::ssize(values)})));
    return kept_.back().data<X>();
  }
  /// NaN, to show what nobody has written.
  double* make(int64_t n) { return put(Numbers(static_cast<size_t>(n), nan)); }

  void see(const Given& given, int64_t first, int64_t last) {
    Numbers wave;  // [L, last - first]
    for (int64_t l = 0; l < given.layers; ++l) {
      const auto row = given.sumsq.begin() + l * table_.groups;
      wave.insert(wave.end(), row + first, row + last);
    }
    MINNOW_ON(test_device(), clip_see<double>)
    (table_, first, last, put(wave), losses_);
  }

  template <class X>
  static std::vector<X> read(const X* from, int64_t n) {
    std::vector<X> values(static_cast<size_t>(n));
    copy_bytes(values.data(), Device::cpu(), from, test_device(),
               n * static_cast<int64_t>(sizeof(X)));
    return values;
  }

  ClipTable table_;
  double* losses_ = nullptr;
  std::vector<Tensor> kept_;
};

void expect_near(const Numbers& got, const Numbers& expected) {
  ASSERT_EQ(got.size(), expected.size());
  for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], expected[i], 1e-15) << i;
}

TEST(Clip, NormsAndMinimum) {
  const Given given{.rule = {.rule = Rule::min},
                    .layers = 2,
                    .sizes = {1, 1, 1, 1},
                    .sumsq = {9, 1, 0, 16, 16, 3, 0, 9}};
  for (int64_t cut : {0, 1, 2, 3}) {
    const Table table(given, cut);
    EXPECT_EQ(table.sumsq(), given.sumsq);
    EXPECT_EQ(table.norms(), (Numbers{5, 2, 0, 5}));
    EXPECT_EQ(table.summary().rho, 2);
    EXPECT_EQ(table.summary().argmin, 1);
    EXPECT_EQ(table.summary().ineligible, 1);
    EXPECT_EQ(table.summary().nonfinite, 0);
    EXPECT_EQ(table.summary().skipped, 0);
    EXPECT_FALSE(table.skipped());
    expect_near(table.factors(), {0.2, 0.5, 0, 0.2});
    expect_near(table.coefficients(), {0.4, 1, 0, 0.4});
    expect_near(table.weights(), {0.4 / 3, 1.0 / 3, 0, 0.4 / 3});
    expect_near(table.common(), {2.0 / 3});
    EXPECT_EQ(table.taking_part(), (Numbers{3}));
  }
}

TEST(Clip, TheFirstOfEqualNormsIsTheMinimum) {
  EXPECT_EQ(
      Table({.rule = {.rule = Rule::min}, .sizes = {1, 1, 1}, .sumsq = {9, 4, 4}}).summary().argmin,
      1);
}

TEST(Clip, OneGroupWeighsExactlyOne) {
  for (Rule rule : {Rule::none, Rule::min}) {
    EXPECT_EQ(Table({.rule = {.rule = rule}, .sizes = {3}, .sumsq = {7}}).weights(), Numbers{1});
  }
}

TEST(Clip, NotANumberAndEmptyGroups) {
  for (double bad : {nan, infinity}) {
    Given given{.rule = {.rule = Rule::min, .on_nonfinite = OnNonfinite::drop},
                .sizes = {2, 0, 1, 1},
                .sumsq = {4, 0, bad, 1}};
    for (int64_t cut : {0, 2, 3}) {
      const Table dropped(given, cut);
      EXPECT_EQ(dropped.summary().rho, 1);
      EXPECT_EQ(dropped.summary().argmin, 3);
      EXPECT_EQ(dropped.summary().ineligible, 2);
      EXPECT_EQ(dropped.summary().nonfinite, 1);
      EXPECT_FALSE(dropped.skipped());
      EXPECT_EQ(dropped.weights(), (Numbers{0.25, 0, 0, 0.5}));
    }
    given.rule.rule = Rule::none;  // an average over the examples that are left
    expect_near(Table(given).weights(), {2.0 / 3, 0, 0, 1.0 / 3});
    for (Rule rule : {Rule::none, Rule::min}) {
      given.rule = {.rule = rule, .on_nonfinite = OnNonfinite::skip};
      const Table skipped(given);
      EXPECT_EQ(skipped.summary().skipped, 1);
      EXPECT_TRUE(skipped.skipped());
      EXPECT_EQ(skipped.weights(), Numbers(4, 0));
      EXPECT_EQ(skipped.common(), Numbers(1, 0));
    }
  }
}

/// As if its norm were infinite, and in no other way.
TEST(Clip, LossThatIsNotFiniteDisqualifiesItsGroup) {
  for (double bad : {nan, infinity, -infinity}) {
    for (Scope scope : {Scope::global, Scope::layer}) {
      Given given{.rule = {.rule = Rule::min, .scope = scope, .on_nonfinite = OnNonfinite::drop},
                  .layers = 2,
                  .sizes = {2, 3, 1},
                  .sumsq = {4, 0, 1, 4, 0, 1},
                  .losses = {0, 1, 1, bad, 1, 5}};
      for (int64_t cut : {0, 1, 2}) {
        const Table dropped(given, cut);
        EXPECT_EQ(dropped.norms()[1], infinity);
        EXPECT_EQ(dropped.summary().nonfinite, 1);
        EXPECT_EQ(dropped.summary().ineligible, 1);
        EXPECT_EQ(dropped.summary().argmin, 2);
        for (double n : dropped.taking_part()) EXPECT_EQ(n, 2);
        EXPECT_FALSE(dropped.skipped());
      }
      given.rule.rule = Rule::none;  // in which a zero gradient takes part otherwise
      expect_near(Table(given).taking_part(), Numbers(scope == Scope::layer ? 2 : 1, 2));
      given.rule.on_nonfinite = OnNonfinite::skip;
      EXPECT_TRUE(Table(given).skipped());
    }
  }
}

TEST(Clip, NobodyLeft) {
  const Table table({.rule = {.rule = Rule::min}, .sizes = {1, 0}, .sumsq = {0, 0}});
  EXPECT_TRUE(table.skipped());
  EXPECT_EQ(table.summary().rho, 0);
  EXPECT_EQ(table.summary().argmin, -1);
  EXPECT_EQ(table.summary().ineligible, 2);
  EXPECT_EQ(table.weights(), Numbers(2, 0));
}

TEST(Clip, DomainsHaveMinimaOfTheirOwn) {
  const Given given{.rule = {.rule = Rule::min, .scope = Scope::domain},
                    .sizes = {1, 1, 1, 1},
                    .sumsq = {1, 64, 9, 16},
                    .domains = {0, 1, 0, 1}};
  for (int64_t cut : {0, 1, 2}) {
    const Table table(given, cut);
    expect_near(table.coefficients(), {1, 0.5, 1.0 / 3, 1});
    expect_near(table.common(), {0.25, 1});
    expect_near(table.weights(), {0.25, 0.125, 1.0 / 12, 0.25});
    EXPECT_EQ(table.summary().rho, 1);
  }
}

TEST(Clip, LayersHaveNormsOfTheirOwn) {
  const Given given{.rule = {.rule = Rule::min, .scope = Scope::layer},
                    .layers = 2,
                    .sizes = {1, 1, 1},
                    .sumsq = {9, 36, 0, 16, 64, 4}};
  for (int64_t cut : {0, 2}) {
    const Table table(given, cut);
    expect_near(table.coefficients(), {1, 0.5, 0, 0.5, 0.25, 1});
    EXPECT_EQ(table.taking_part(), (Numbers{2, 3}));
    expect_near(table.common(), {3.0 / 2, 2.0 / 3});
    expect_near(table.weights(), {0.5, 0.25, 0, 0.5 / 3, 0.25 / 3, 1.0 / 3});
    EXPECT_EQ(table.summary().argmin, 2);  // of all parameters: 5, 10, 2
  }
}

TEST(Clip, TheSumIsTheMeanTimesTheGroupsThatTakePart) {
  for (Rule rule : {Rule::none, Rule::min, Rule::fixed, Rule::automatic, Rule::normalize}) {
    Given given{.rule = {.rule = rule}, .sizes = {2, 0, 1, 1}, .sumsq = {4, 0, 9, 1}};
    Numbers mean = Table(given).weights();
    given.rule.reduction = Reduction::sum;
    for (double& weight : mean) weight *= 3;
    expect_near(Table(given).weights(), mean);
  }
}

TEST(Clip, ThresholdsFollowAQuantile) {
  // Groups of norm zero and of none are not counted: 5 and 2 of 5, 2, 10 lie within 5.
  const Given given{
      .rule = {.rule = Rule::quantile, .on_nonfinite = OnNonfinite::drop, .quantile = 0.5},
      .sizes = {1, 1, 1, 1, 1},
      .sumsq = {25, 4, 100, 0, nan},
      .thresholds = {5}};
  for (int64_t cut : {0, 3}) {
    const Table table(given, cut);
    expect_near(table.coefficients(), {1, 1, 0.5, 0, 0});
    EXPECT_NEAR(table.thresholds()[0], 5 * std::exp(-0.2 * (2.0 / 3 - 0.5)), 1e-14);
  }
  const Table layers({.rule = {.rule = Rule::quantile, .scope = Scope::layer, .quantile = 0.5},
                      .layers = 2,
                      .sizes = {1, 1},
                      .sumsq = {1, 16, 9, 9},
                      .thresholds = {2, 4}});
  expect_near(layers.coefficients(), {1, 0.5, 1, 1});
  EXPECT_NEAR(layers.thresholds()[0], 2, 1e-14);  // half of the norms lie below
  EXPECT_NEAR(layers.thresholds()[1], 4 * std::exp(-0.2 * 0.5), 1e-14);
}

TEST(Clip, MoreGroupsThanABlockHasThreads) {
  constexpr int64_t k = 1500;
  Given given{.rule = {.rule = Rule::min}, .sizes = Integers(k, 1), .sumsq = {}};
  for (int64_t j = 0; j < k; ++j) {
    const auto root = static_cast<double>(3 + j * 7919 % k);
    given.sumsq.push_back(root * root);
  }
  const int64_t least =
      std::min_element(given.sumsq.begin(), given.sumsq.end()) - given.sumsq.begin();
  for (int64_t cut : {0, 1000}) {
    const Table table(given, cut);
    EXPECT_EQ(table.summary().rho, 3);
    EXPECT_EQ(table.summary().argmin, least);
    EXPECT_EQ(table.taking_part(), Numbers{k});
    const Numbers coefficients = table.coefficients();
    for (int64_t j = 0; j < k; ++j) {
      ASSERT_NEAR(coefficients[j], 3 / std::sqrt(given.sumsq[j]), 1e-15);
    }
  }
}

}  // namespace
}  // namespace minnow::test
