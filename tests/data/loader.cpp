#include "data/loader.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <fstream>
#include <numeric>
#include <set>

#include "data/shapes.h"
#include "data/wrappers.h"
#include "kernels/random.h"
#include "tests/data/files.h"

namespace minnow::data_test {
namespace {

/// 0 .. n - 1 as examples of one number; may be slow, may fail at one of them, and counts its
/// calls.
class Numbers : public Dataset {
 public:
  explicit Numbers(int64_t n, int64_t broken = -1) : n_(n), broken_(broken) {}

  int64_t size() const override { return n_; }
  Example get(int64_t i, int64_t epoch) const override {
    ++calls;
    if (delay.count() > 0) std::this_thread::sleep_for(delay);
    check(i != broken_, "numbers: example {} is broken", i);
    return {Tensor::full({1}, static_cast<double>(i + 1000 * epoch)), i % 3, i, i % 5 == 0};
  }
  const std::vector<std::string>& classes() const override { return classes_; }

  mutable std::atomic<int> calls = 0;
  std::chrono::microseconds delay{0};

 private:
  int64_t n_, broken_;
  std::vector<std::string> classes_{"a", "b", "c"};
};

std::vector<Batch> rest(Loader& loader) {
  std::vector<Batch> batches;
  while (std::optional<Batch> batch = loader.next()) batches.push_back(std::move(*batch));
  return batches;
}

std::vector<int64_t> ids(const std::vector<Batch>& batches) {
  std::vector<int64_t> all;
  for (const Batch& batch : batches) {
    const std::vector<int64_t> part = batch.ids.to_vector<int64_t>();
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

void expect_same(const std::vector<Batch>& a, const std::vector<Batch>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t k = 0; k < a.size(); ++k) EXPECT_TRUE(same(a[k], b[k])) << "batch " << k;
}

TEST(Loader, BatchesHoldTheirExamples) {
  Loader loader(std::make_shared<Numbers>(10), {.batch = 4});
  EXPECT_EQ(loader.batches(), 3);
  loader.start_epoch(2);
  const std::vector<Batch> batches = rest(loader);
  ASSERT_EQ(batches.size(), 3u);
  EXPECT_EQ(batches[1].inputs.shape(), (Shape{4, 1}));
  EXPECT_EQ(batches[1].inputs.to_vector<float>(), (std::vector<float>{2004, 2005, 2006, 2007}));
  EXPECT_EQ(batches[1].labels.to_vector<int64_t>(), (std::vector<int64_t>{1, 2, 0, 1}));
  EXPECT_EQ(batches[1].marked, (std::vector<bool>{false, true, false, false}));
  EXPECT_EQ(batches[2].size(), 2);  // what is left
  EXPECT_FALSE(loader.next().has_value());
  EXPECT_FALSE(loader.next().has_value());
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // they need memory themselves
TEST(Loader, ThreadsThatTheSystemRefuses) {
  int64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  rlimit before{};
  getrlimit(RLIMIT_AS, &before);
  const auto now = static_cast<rlim_t>(pages * sysconf(_SC_PAGESIZE));
  const rlimit limit{now + (rlim_t{64} << 20), before.rlim_max};  // for the stacks of a few threads
  setrlimit(RLIMIT_AS, &limit);
  EXPECT_THROW(Loader(std::make_shared<Numbers>(10), {.batch = 4, .workers = 1000}), RunError);
  setrlimit(RLIMIT_AS, &before);
}
#endif

TEST(Loader, DropLast) {
  Loader loader(std::make_shared<Numbers>(10), {.batch = 4, .drop_last = true});
  EXPECT_EQ(loader.batches(), 2);
  loader.start_epoch(0);
  EXPECT_EQ(ids(rest(loader)).size(), 8u);
  Loader exact(std::make_shared<Numbers>(8), {.batch = 4, .drop_last = true});
  EXPECT_EQ(exact.batches(), 2);
}

TEST(Loader, ShufflesByEpochAndSeed) {
  const auto order = [](int64_t epoch, uint64_t seed) {
    Loader loader(std::make_shared<Numbers>(100), {.batch = 7, .shuffle = true, .seed = seed});
    loader.start_epoch(epoch);
    return ids(rest(loader));
  };
  const std::vector<int64_t> first = order(0, 1);
  EXPECT_EQ(first, order(0, 1));
  EXPECT_NE(first, order(1, 1));
  EXPECT_NE(first, order(0, 2));
  EXPECT_FALSE(std::is_sorted(first.begin(), first.end()));
  std::vector<int64_t> sorted = first, all(100);
  std::sort(sorted.begin(), sorted.end());
  std::iota(all.begin(), all.end(), 0);
  EXPECT_EQ(sorted, all);
}

/// Ten batches of eight; three copies of each example, but for one at the end.
TEST(Loader, RepeatsExamplesWithinABatch) {
  const auto numbers = std::make_shared<Numbers>(80);
  const LoaderOptions options{.batch = 8, .shuffle = true, .seed = 4, .repeats = 3};
  Loader loader(numbers, options);
  ASSERT_EQ(loader.batches(), 10);
  loader.start_epoch(2);
  std::map<int64_t, std::set<int64_t>> copies;  // of each example
  std::set<int64_t> all_ids;
  for (const Batch& batch : rest(loader)) {
    int64_t last = 0;
    for (int64_t b = 0; b < batch.size(); ++b) {
      const int64_t id = batch.ids.data<int64_t>()[b];
      const int64_t copy = id >> kCopyShift, example = id - (copy << kCopyShift);
      EXPECT_GE(copy, last);  // all first copies come first
      last = copy;
      copies[example].insert(copy);
      all_ids.insert(id);
      EXPECT_EQ(batch.inputs.data<float>()[b], static_cast<float>(example + 1000 * (2 * 3 + copy)));
      EXPECT_EQ(batch.labels.data<int64_t>()[b], example % 3);
      EXPECT_EQ(batch.marked[static_cast<size_t>(b)], example % 5 == 0);
    }
  }
  EXPECT_EQ(all_ids.size(), 80u);
  EXPECT_EQ(copies.size(), 27u);
  EXPECT_EQ(std::count_if(copies.begin(), copies.end(),
                          [](const auto& c) {
                            return c.second == std::set<int64_t>{0, 1, 2};
                          }),
            26);
}

TEST(Loader, RepeatsKeepTheOrderOfTheEpoch) {
  const auto examples = [](int64_t batch, int64_t epoch, int64_t repeats) {
    Loader loader(std::make_shared<Numbers>(60),
                  {.batch = batch, .shuffle = true, .seed = 4, .repeats = repeats});
    loader.start_epoch(epoch);
    std::vector<int64_t> found = ids(rest(loader));
    for (int64_t& id : found) id &= (int64_t{1} << kCopyShift) - 1;
    return found;
  };
  const std::vector<int64_t> once = examples(60, 1, 1), adjacent = examples(1, 1, 3);
  for (size_t i = 0; i < 60; ++i) EXPECT_EQ(adjacent[i], once[i / 3]);
  const std::vector<int64_t> apart = examples(9, 1, 3);
  const std::vector<int64_t> three{once[0], once[1], once[2]};
  for (size_t i = 0; i < 9; ++i) EXPECT_EQ(apart[i], three[i % 3]);
  const std::vector<int64_t> later = examples(1, 2, 3);
  EXPECT_NE(std::set(adjacent.begin(), adjacent.end()), std::set(later.begin(), later.end()));
}

/// Over 2400 seeds each of the 24 orders of four examples comes up 100 times, standard
/// deviation 9.8: five of them.
TEST(Loader, EveryOrderIsAsLikely) {
  std::map<std::vector<int64_t>, int> count;
  for (uint64_t seed = 0; seed < 2400; ++seed) {
    Loader loader(std::make_shared<Numbers>(4), {.batch = 4, .shuffle = true, .seed = seed});
    loader.start_epoch(0);
    ++count[ids(rest(loader))];
  }
  EXPECT_EQ(count.size(), 24u);
  for (const auto& [order, n] : count) EXPECT_NEAR(n, 100, 49);
}

/// Two epochs of augmented pictures, by 0, 1, 2 and 5 workers, far and hardly ahead.
TEST(Loader, WorkersChangeNothing) {
  const auto set = std::make_shared<Transformed>(
      std::make_shared<Shapes>(Split::train, ShapesOptions{.count = 70, .side = 8}),
      TransformOptions{.augment = {Augment::crop_flip}, .seed = 4});
  const auto run = [&](int64_t workers, int64_t prefetch) {
    Loader loader(
        set, {.batch = 8, .shuffle = true, .seed = 3, .workers = workers, .prefetch = prefetch});
    std::vector<Batch> all;
    for (int64_t epoch : {0, 1}) {
      loader.start_epoch(epoch);
      for (Batch& batch : rest(loader)) all.push_back(std::move(batch));
    }
    return all;
  };
  const std::vector<Batch> expected = run(0, 1);
  ASSERT_EQ(expected.size(), 18u);
  for (int64_t workers : {1, 2, 5}) {
    for (int64_t prefetch : {1, 3, 100}) expect_same(run(workers, prefetch), expected);
  }
}

TEST(Loader, FinishesBatchesOnItsWay) {
  const auto finish = [](Batch& batch, int64_t epoch) {
    check(batch.ids.data<int64_t>()[0] != 4, "finish: batch of example 4");
    batch.labels = Tensor::full({batch.size()}, static_cast<double>(epoch));
  };
  for (int64_t workers : {0, 2}) {
    Loader loader(std::make_shared<Numbers>(8), {.batch = 2, .workers = workers, .finish = finish});
    loader.start_epoch(6);
    EXPECT_EQ(loader.next()->labels.to_vector<float>(), (std::vector<float>{6, 6}));
    loader.next();
    expect_error([&] { loader.next(); }, {"batch of example 4"});
    EXPECT_EQ(loader.next()->size(), 2);
  }
}

TEST(Loader, ResumesInTheMiddle) {
  const auto set = std::make_shared<Transformed>(
      std::make_shared<Shapes>(Split::train, ShapesOptions{.count = 50, .side = 8}),
      TransformOptions{.augment = {Augment::crop_flip}});
  for (int64_t workers : {0, 2}) {
    const LoaderOptions options{.batch = 8, .shuffle = true, .seed = 3, .workers = workers};
    Loader whole(set, options);
    whole.start_epoch(6);
    const std::vector<Batch> expected = rest(whole);
    for (int64_t first = 0; first <= whole.batches(); ++first) {
      Loader resumed(set, options);
      resumed.start_epoch(6, first);
      expect_same(rest(resumed), {expected.begin() + first, expected.end()});
    }
  }
}

TEST(Loader, ANewEpochDropsTheOldOne) {
  for (int64_t workers : {0, 1, 3}) {
    const auto set = std::make_shared<Numbers>(40);
    set->delay = std::chrono::microseconds(50);
    Loader loader(set, {.batch = 4, .workers = workers});
    for (int64_t epoch = 0; epoch < 20; ++epoch) {
      loader.start_epoch(epoch, epoch % 10);
      for (int k = 0; k < 1 + epoch % 3; ++k) {
        const std::optional<Batch> batch = loader.next();
        const int64_t at = epoch % 10 + k;
        ASSERT_EQ(batch.has_value(), at < 10);
        if (batch) {
          EXPECT_EQ(batch->inputs.data<float>()[0], static_cast<float>(1000 * epoch + 4 * at));
        }
      }
    }
  }
}

TEST(Loader, ExceptionsSurfaceInTheirTurn) {
  for (int64_t workers : {0, 1, 2}) {
    Loader loader(std::make_shared<Numbers>(20, 9), {.batch = 4, .workers = workers});
    for (int64_t epoch : {0, 1}) {
      loader.start_epoch(epoch);
      EXPECT_TRUE(loader.next().has_value());
      EXPECT_TRUE(loader.next().has_value());
      expect_error([&] { loader.next(); }, {"example 9 is broken"});
      EXPECT_EQ(loader.next()->ids.data<int64_t>()[0], 12);
      EXPECT_EQ(rest(loader).size(), 1u);
    }
  }
}

TEST(Loader, IsDestroyedWhileWorkersRun) {
  const auto set = std::make_shared<Numbers>(100000);
  set->delay = std::chrono::microseconds(20);
  for (int taken = 0; taken < 6; ++taken) {
    Loader loader(set, {.batch = 10, .workers = 3, .prefetch = 8});
    if (taken > 0) loader.start_epoch(0);
    for (int k = 1; k < taken; ++k) EXPECT_TRUE(loader.next().has_value());
  }
  EXPECT_LT(set->calls, 6 * 10 * (8 + 3 + 6));  // nobody went through all of it
}

/// Workers wait when they are `prefetch` batches ahead.
TEST(Loader, TheQueueIsBounded) {
  const auto set = std::make_shared<Numbers>(1000);
  Loader loader(set, {.batch = 10, .workers = 4, .prefetch = 3});
  loader.start_epoch(0);
  EXPECT_TRUE(loader.next().has_value());
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_LE(set->calls, (1 + 3) * 10);
}

TEST(Loader, Errors) {
  const auto set = std::make_shared<Numbers>(10);
  const auto make = [&](LoaderOptions options) { Loader loader(set, options); };
  expect_error([&] { make({.batch = 0}); }, {"batch size", "got 0"});
  expect_error([&] { make({.workers = -1}); }, {"workers", "-1"});
  expect_error([&] { make({.prefetch = 0}); }, {"prefetch", "got 0"});
  expect_error([&] { make({.batch = 2, .repeats = 3}); }, {"repeats", "shuffled", "got 3"});
  expect_error([&] { make({.batch = 11, .drop_last = true}); }, {"10 examples", "11", "drop_last"});
  expect_error([] { Loader loader(nullptr, {}); }, {"empty"});
  expect_error([] { Loader loader(std::make_shared<Numbers>(0), {}); }, {"empty"});
  Loader loader(set, {.batch = 4});
  expect_error([&] { loader.next(); }, {"start_epoch"});
  expect_error([&] { loader.start_epoch(0, 4); }, {"0 to 3", "got 4"});
  expect_error([&] { loader.start_epoch(-1); }, {"epochs", "-1"});
}

/// Inputs of different shapes cannot lie side by side.
class Ragged : public Numbers {
 public:
  using Numbers::Numbers;
  Example get(int64_t i, int64_t) const override { return {Tensor::zeros({i + 1}), 0, i, false}; }
};

TEST(Loader, InputsMustAgree) {
  Loader loader(std::make_shared<Ragged>(3), {.batch = 2});
  loader.start_epoch(0);
  expect_error([&] { loader.next(); }, {"[1]", "[2]", "example 1"});
}

}  // namespace
}  // namespace minnow::data_test
