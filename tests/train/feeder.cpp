#include "train/feeder.h"

#include <gtest/gtest.h>

#include "data/loader.h"
#include "tests/data/files.h"
#include "tests/device.h"
#include "tests/expect_error.h"

namespace minnow {
namespace {

using data_test::same;
using test::on_cpu;
using test::test_device;

/// 0 .. n - 1 as examples of two numbers; fails at one of them.
class Numbers : public Dataset {
 public:
  explicit Numbers(int64_t broken) : broken_(broken) {}

  int64_t size() const override { return 23; }
  Example get(int64_t i, int64_t epoch) const override {
    check(i != broken_, "numbers: example {} is broken", i);
    return {Tensor::full({2}, static_cast<double>(i + 1000 * epoch)), i % 3, i, i % 5 == 0};
  }
  const std::vector<std::string>& classes() const override { return classes_; }

 private:
  int64_t broken_;
  std::vector<std::string> classes_{"a", "b", "c"};
};

struct Options {
  int64_t workers = 0;
  bool shuffle = true;
  int64_t broken = -1;
};

/// Six batches an epoch, the last one of three examples.
std::unique_ptr<Loader> make_loader(const Options& options = {}) {
  return std::make_unique<Loader>(
      std::make_shared<Numbers>(options.broken),
      LoaderOptions{.batch = 4, .shuffle = options.shuffle, .seed = 3, .workers = options.workers});
}

std::vector<Batch> all_of(Loader& loader) {
  std::vector<Batch> batches;
  while (auto batch = loader.next()) batches.push_back(std::move(*batch));
  return batches;
}

Batch at_home(const Feeder::Fed& fed) {
  const Batch& b = fed.batch;
  for (const Tensor& t : {b.inputs, b.labels, b.ids}) EXPECT_EQ(t.device(), test_device());
  return {on_cpu(b.inputs), on_cpu(b.labels), on_cpu(b.ids), b.marked, b.domains};
}

/// What is left of the epoch; `ahead`: as a trainer does, asking for a batch while one is used.
std::vector<Batch> all_of(Feeder& feeder, bool ahead) {
  std::vector<Batch> batches;
  while (auto fed = feeder.next()) {
    if (ahead) feeder.prefetch();
    batches.push_back(at_home(*fed));
  }
  return batches;
}

void expect_same(const std::vector<Batch>& a, const std::vector<Batch>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t k = 0; k < a.size(); ++k) EXPECT_TRUE(same(a[k], b[k])) << "batch " << k;
}

class FeederTest : public testing::TestWithParam<std::tuple<int64_t, bool>> {
 protected:
  int64_t workers() const { return std::get<0>(GetParam()); }
  bool ahead() const { return std::get<1>(GetParam()); }
};

INSTANTIATE_TEST_SUITE_P(, FeederTest, testing::Combine(testing::Values(0, 2), testing::Bool()),
                         [](const auto& info) {
                           return fmt::format("{}Workers{}", std::get<0>(info.param),
                                              std::get<1>(info.param) ? "Ahead" : "");
                         });

TEST_P(FeederTest, DeliversWhatTheLoaderDelivers) {
  const auto loader = make_loader();
  Feeder feeder(make_loader({.workers = workers()}), test_device());
  EXPECT_EQ(feeder.batches(), 6);
  for (int64_t epoch : {0, 1}) {
    loader->start_epoch(epoch);
    feeder.start_epoch(epoch);
    const auto expected = all_of(*loader);
    ASSERT_EQ(expected.size(), 6u);
    expect_same(all_of(feeder, ahead()), expected);
    EXPECT_FALSE(feeder.next().has_value());  // the end stays the end
  }
}

TEST_P(FeederTest, ResumesInTheMiddleOfAnEpoch) {
  const auto loader = make_loader();
  Feeder feeder(make_loader({.workers = workers()}), test_device());
  loader->start_epoch(1, 4);
  feeder.start_epoch(1, 4);
  expect_same(all_of(feeder, ahead()), all_of(*loader));
  feeder.start_epoch(1, 6);
  EXPECT_FALSE(feeder.next().has_value());
}

TEST_P(FeederTest, ANewEpochDropsWhatIsOnItsWay) {
  const auto loader = make_loader();
  Feeder feeder(make_loader({.workers = workers()}), test_device());
  feeder.start_epoch(0);
  ASSERT_TRUE(feeder.next().has_value());
  if (ahead()) feeder.prefetch();
  loader->start_epoch(5, 1);
  feeder.start_epoch(5, 1);
  expect_same(all_of(feeder, ahead()), all_of(*loader));
}

TEST_P(FeederTest, AnErrorComesAtItsTurn) {
  // Example 9 is in the third batch.
  Feeder feeder(make_loader({.workers = workers(), .shuffle = false, .broken = 9}), test_device());
  const auto fine = make_loader({.shuffle = false});
  fine->start_epoch(0);
  feeder.start_epoch(0);
  const auto expected = all_of(*fine);
  for (size_t k = 0; k < 2; ++k) {
    const auto fed = feeder.next();
    ASSERT_TRUE(fed.has_value());
    if (ahead()) feeder.prefetch();  // which must not throw
    EXPECT_TRUE(same(at_home(*fed), expected[k])) << "batch " << k;
  }
  expect_error([&] { feeder.next(); }, {"example 9 is broken"});
  expect_same(all_of(feeder, ahead()), {expected.begin() + 3, expected.end()});
}

TEST_P(FeederTest, ANewEpochForgetsAnError) {
  Feeder feeder(make_loader({.workers = workers(), .shuffle = false, .broken = 5}), test_device());
  feeder.start_epoch(0);
  ASSERT_TRUE(feeder.next().has_value());
  if (ahead()) feeder.prefetch();
  feeder.start_epoch(0, 2);
  EXPECT_EQ(all_of(feeder, ahead()).size(), 4u);
}

}  // namespace
}  // namespace minnow
