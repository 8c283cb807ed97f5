#include "data/reviews.h"

#include <algorithm>
#include <cstdlib>
#include <set>
#include <utility>

#include "data/open.h"
#include "data/utf8.h"
#include "tests/data/files.h"

namespace minnow::data_test {
namespace {

void write_text(const std::filesystem::path& path, const std::string& text) {
  write_file(path, Bytes(text.begin(), text.end()));
}

std::string lines(int count, const std::string& noun) {
  std::string all;
  for (int i = 0; i < count; ++i) {
    all += i % 2 == 0 ? "1\ta good " : "0\ta bad ";
    all += noun + " number " + std::to_string(i) + "\n";
  }
  return all;
}

/// Two domains, "books" with eight training reviews and "toys" with four; two test reviews each.
class ReviewFiles : public testing::Test {
 protected:
  ReviewFiles() {
    write_text(path("toys.task.train"), lines(4, "toy"));
    write_text(path("toys.task.test"), lines(2, "toy"));
    write_text(path("books.task.train"), lines(8, "book"));
    write_text(path("books.task.test"), lines(2, "book"));
    options.vocabulary = 40;
  }

  std::filesystem::path path(const std::string& name) const { return folder.path() / name; }
  Reviews open(Split split = Split::train) const { return {folder.path(), split, options}; }
  void fails(const std::vector<std::string>& parts) const {
    expect_error([&] { open(); }, parts);
  }
  std::vector<int64_t> per_domain() const {
    const Reviews reviews = open();
    std::vector<int64_t> counts(reviews.domains().size(), 0);
    for (int64_t i = 0; i < reviews.size(); ++i) ++counts[reviews.get(i, 0).domain];
    return counts;
  }

  TemporaryFolder folder;
  ReviewsOptions options;
};

std::set<int64_t> ids_of(const Dataset& dataset) {
  std::set<int64_t> ids;
  for (int64_t i = 0; i < dataset.size(); ++i) ids.insert(dataset.get(i, 0).id);
  return ids;
}

TEST_F(ReviewFiles, AreRead) {
  const Reviews train = open(), test = open(Split::test);
  EXPECT_EQ(train.size(), 12);
  EXPECT_EQ(test.size(), 4);
  EXPECT_TRUE(train.ragged());
  EXPECT_EQ(train.vocabulary(), 40);
  EXPECT_EQ(train.domains(), (std::vector<std::string>{"books", "toys"}));
  EXPECT_EQ(train.classes(), (std::vector<std::string>{"negative", "positive"}));
  const Example example = train.get(9, 0);  // the second of the toys
  EXPECT_EQ(example.domain, 1);
  EXPECT_EQ(example.label, 0);
  EXPECT_EQ(example.input.dtype(), DType::int64);
  EXPECT_EQ(train.length(9), example.input.dim(0));
  EXPECT_EQ(train.pieces().decode(example.input.to_vector<int64_t>()), "a bad toy number 1");
  // The test split has the same pieces, and ids of its own.
  EXPECT_EQ(test.pieces().save(), train.pieces().save());
  std::set<int64_t> all = ids_of(train);
  all.merge(ids_of(test));
  EXPECT_EQ(all.size(), 16u);
  EXPECT_TRUE(train.warnings().empty());
}

TEST_F(ReviewFiles, LongOnesEnd) {
  options.max_tokens = 3;
  const Reviews reviews = open();
  for (int64_t i = 0; i < reviews.size(); ++i) EXPECT_LE(reviews.get(i, 0).input.dim(0), 3);
}

TEST_F(ReviewFiles, PaddingIsIdZeroAndOnlyThere) {
  const Batch batch = make_batch(open(), std::vector<int64_t>{0, 11, 5}, 0);
  const int64_t tokens = batch.inputs.dim(1);
  for (int64_t b = 0; b < 3; ++b) {
    for (int64_t t = 0; t < tokens; ++t) {
      const int64_t id = batch.inputs.data<int64_t>()[b * tokens + t];
      EXPECT_EQ(id == 0, t >= batch.lengths.data<int64_t>()[b]);
    }
  }
  EXPECT_EQ(batch.domains, (std::vector<int64_t>{0, 1, 0}));
}

TEST_F(ReviewFiles, Mixtures) {
  options.per_domain = {3};
  EXPECT_EQ(per_domain(), (std::vector<int64_t>{3, 3}));
  const std::set<int64_t> three = ids_of(open());
  options.per_domain = {5, 4};
  EXPECT_EQ(per_domain(), (std::vector<int64_t>{5, 4}));
  const std::set<int64_t> more = ids_of(open());
  EXPECT_TRUE(std::includes(more.begin(), more.end(), three.begin(), three.end()));
  options.per_domain = {4};
  options.imbalance = 4;
  EXPECT_EQ(per_domain(), (std::vector<int64_t>{4, 1}));
  options.per_domain = {};  // as many as the smallest domain has
  EXPECT_EQ(per_domain(), (std::vector<int64_t>{4, 1}));
  options.domains = {"toys", "books"};  // in the order asked for
  EXPECT_EQ(per_domain(), (std::vector<int64_t>{4, 1}));
  EXPECT_EQ(open().domains().front(), "toys");
  options = {.domains = {"toys"}, .vocabulary = 30};
  EXPECT_EQ(open().size(), 4);
  EXPECT_EQ(open(Split::test).size(), 2);
}

TEST_F(ReviewFiles, AnExampleKeepsItsIdInEveryMixture) {
  const std::set<int64_t> all = ids_of(open());
  options.domains = {"toys"};
  options.vocabulary = 30;
  const std::set<int64_t> toys = ids_of(open());
  EXPECT_TRUE(std::includes(all.begin(), all.end(), toys.begin(), toys.end()));
}

TEST_F(ReviewFiles, OddLines) {
  write_text(path("toys.task.train"), "1\tcaf\xe9 toy\n0\t \n1\tcaf\xc3\xa9 toy");
  options.vocabulary = 45;
  const Reviews reviews = open();
  EXPECT_EQ(reviews.size(), 10);  // no line end at the end, and one without text
  ASSERT_EQ(reviews.notices().size(), 1u);
  EXPECT_EQ(reviews.notices()[0].substr(0, 17), "1 of the reviews ");
  EXPECT_EQ(reviews.get(8, 0).input.to_vector<int64_t>(),
            reviews.get(9, 0).input.to_vector<int64_t>());
  ASSERT_EQ(reviews.warnings().size(), 1u);
  EXPECT_NE(reviews.warnings()[0].find("toys.task.train:2: no text"), std::string::npos);
}

TEST_F(ReviewFiles, Errors) {
  expect_error([&] { Reviews(folder.path() / "none", Split::train, {}); }, {"none", "folder"});
  const TemporaryFolder empty;
  expect_error([&] { Reviews(empty.path(), Split::train, {}); }, {"DOMAIN.task.train"});
  options.domains = {"toy"};
  fails({"data.domains", "there is no toy", "books, toys"});
  options.domains = {"toys", "toys"};
  fails({"data.domains", "toys", "twice"});
  options.domains = {};
  options.per_domain = {5};
  fails({"data.per_domain", "toys has 4", "got 5"});
  options.per_domain = {1, 2, 3};
  fails({"data.per_domain", "2 domains", "got 3"});
  options.per_domain = {4, 4};
  options.imbalance = 2;
  fails({"data.imbalance", "exclude"});
  options.per_domain = {};
  options.imbalance = 0.5;
  fails({"data.imbalance", "at least 1"});
  const int64_t vocabulary = std::exchange(options.vocabulary, 1 << 20);
  fails({"data.imbalance"});  // told before the pieces, which would fail, are learnt
  options.vocabulary = vocabulary;
  options.imbalance = 1;
  options.max_tokens = 0;
  fails({"data.max_tokens"});
  options.max_tokens = 9;
  write_text(path("toys.task.train"), "1\tgood\n2\tbad\n");
  fails({"toys.task.train:2", "0 or 1", "2\tbad"});
  write_text(path("toys.task.train"), "1 good\n");
  fails({"toys.task.train:1", "a tab"});
  std::filesystem::remove(path("toys.task.test"));
  write_text(path("toys.task.train"), lines(4, "toy"));
  expect_error([&] { open(Split::test); }, {"toys.task.test"});
}

TEST(Utf8, IsToldFromLatin1) {
  for (const char* good :
       {"", "abc", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x90\x9f", "\xed\x9f\xbf"})
    EXPECT_TRUE(is_utf8(good)) << good;
  for (const char* bad :
       {"\xe9", "\xc3", "\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80", "\xf0\x80\x80\x80",
        "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\x80", "\xe2\x82", "a\xff"})
    EXPECT_FALSE(is_utf8(bad)) << bad;
  EXPECT_EQ(as_utf8("caf\xe9"), "caf\xc3\xa9");
  EXPECT_EQ(as_utf8("caf\xc3\xa9"), "caf\xc3\xa9");
}

/// The counts of the real files.
TEST(Reviews, RealFiles) {
  const char* data = std::getenv("MINNOW_DATA");
  if (data == nullptr) GTEST_SKIP() << "MINNOW_DATA is not set: no real data to read";
  DatasetConfig config{.name = "reviews", .path = std::string(data) + "/fdu-mtl"};
  config.reviews = {.vocabulary = 1000};
  config.reviews.domains = {"MR", "dvd"};
  const auto train = std::dynamic_pointer_cast<const Reviews>(open_dataset(config, Split::train));
  EXPECT_EQ(train->size(), 3200);
  EXPECT_EQ(train->notices().at(0).substr(0, 18), "32 of the reviews ");
  EXPECT_EQ(open_dataset(config, Split::test)->size(), 800);
}

}  // namespace
}  // namespace minnow::data_test
