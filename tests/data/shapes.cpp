#include "data/shapes.h"

#include <set>

#include "tests/data/files.h"

namespace minnow::data_test {
namespace {

TEST(Shapes, PicturesDependOnSeedAndIdAlone) {
  const Shapes small(Split::train, {.count = 20}), large(Split::train, {.count = 3000});
  const Shapes reseeded(Split::train, {.count = 20, .seed = 1});
  const Shapes test(Split::test, {.count = 20});
  std::set<Bytes> distinct;
  for (int64_t i = 0; i < 20; ++i) {
    const Example example = small.get(i, 0);
    EXPECT_EQ(bytes_of(example.input), bytes_of(large.get(i, 5).input));
    EXPECT_EQ(example.label, large.get(i, 0).label);
    EXPECT_EQ(example.id, i);
    EXPECT_EQ(test.get(i, 0).id, kFirstTestId + i);
    EXPECT_FALSE(example.marked);
    for (const Shapes* set : {&small, &reseeded, &test}) {
      distinct.insert(bytes_of(set->get(i, 0).input));
    }
  }
  EXPECT_EQ(distinct.size(), 60u);
}

TEST(Shapes, AnySide) {
  for (int64_t side : {8, 17, 64}) {
    const Shapes set(Split::train, {.count = 1, .side = side});
    EXPECT_EQ(set.get(0, 0).input.shape(), (Shape{3, side, side}));
  }
  expect_error([] { Shapes(Split::train, {.count = 1, .side = 7}); }, {"shapes", "got 7"});
  expect_error([] { Shapes(Split::train, {.count = 0}); }, {"shapes", "got 0"});
  expect_error([] { Shapes(Split::train, {.count = 3}).get(3, 0); }, {"example 3 of 3"});
}

/// 3000 labels in 10 classes: 300 each with a standard deviation of 16.4; five of them either way.
TEST(Shapes, ClassesAreBalanced) {
  const Shapes set(Split::train, {.count = 3000, .side = 8});
  ASSERT_EQ(set.classes().size(), 10u);
  std::vector<int> count(10);
  for (int64_t i = 0; i < 3000; ++i) ++count[static_cast<size_t>(set.get(i, 0).label)];
  for (int n : count) EXPECT_NEAR(n, 300, 82);
}

/// How much of a picture changes from one pixel to the next, along x over along y.
double anisotropy(const Example& example) {
  const int64_t side = example.input.dim(1);
  const uint8_t* p = example.input.data<uint8_t>();
  double along_x = 0, along_y = 0;
  for (int64_t i = 0; i < 3 * side; ++i) {
    for (int64_t x = 0; x + 1 < side; ++x) {
      along_x += std::abs(p[i * side + x + 1] - p[i * side + x]);
      if ((i + 1) % side != 0) along_y += std::abs(p[(i + 1) * side + x] - p[i * side + x]);
    }
  }
  return along_x / along_y;
}

/// Labels mean what they say: stripes change across themselves and not along.
TEST(Shapes, StripesRunTheirWay) {
  const Shapes set(Split::train, {.count = 1500});
  double sum[10] = {};
  int count[10] = {};
  for (int64_t i = 0; i < set.size(); ++i) {
    const Example example = set.get(i, 0);
    sum[example.label] += anisotropy(example);
    ++count[example.label];
  }
  for (int label = 0; label < 10; ++label) {
    const double mean = sum[label] / count[label];
    if (label == 5) {
      EXPECT_LT(mean, 0.75);
    } else if (label == 6) {
      EXPECT_GT(mean, 1.33);
    } else {
      EXPECT_NEAR(mean, 1.0, 0.15) << set.classes()[static_cast<size_t>(label)];
    }
  }
}

}  // namespace
}  // namespace minnow::data_test
