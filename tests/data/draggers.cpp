#include "data/draggers.h"

#include <algorithm>
#include <map>
#include <numeric>

#include "data/shapes.h"
#include "data/tones.h"
#include "tests/data/files.h"

namespace minnow::data_test {
namespace {

std::shared_ptr<const Dataset> shapes(int64_t count, int64_t side = 16) {
  return std::make_shared<Shapes>(Split::train, ShapesOptions{.count = count, .side = side});
}

/// 2000 examples at a fraction of 0.2: 400 draggers with a standard deviation of 17.9; five of them
/// either way.
TEST(Draggers, AreMarkedAndOnlyTheyChange) {
  const auto base = shapes(2000);
  for (const DraggerKind kind : {DraggerKind::label, DraggerKind::noise, DraggerKind::mix}) {
    const Draggers set(base, 0.2, kind, 9), more(base, 0.4, kind, 9);
    int marked = 0, moved = 0, repainted = 0;
    for (int64_t i = 0; i < 2000; ++i) {
      const Example before = base->get(i, 0), after = set.get(i, 0), again = set.get(i, 3);
      const bool same_pixels = bytes_of(before.input) == bytes_of(after.input);
      EXPECT_EQ(before.id, after.id);
      EXPECT_EQ(bytes_of(after.input), bytes_of(again.input));
      EXPECT_EQ(after.label, again.label);
      EXPECT_TRUE(after.label >= 0 && after.label < 10);
      if (!after.marked) {
        EXPECT_TRUE(same_pixels && before.label == after.label);
        continue;
      }
      ++marked;
      moved += before.label != after.label;
      repainted += !same_pixels;
      EXPECT_TRUE(!same_pixels || before.label != after.label) << "a dragger must be wrong";
      EXPECT_TRUE(more.get(i, 0).marked);
    }
    EXPECT_NEAR(marked, 400, 90);
    const double share = kind == DraggerKind::label ? 0 : kind == DraggerKind::noise ? 1 : 0.5;
    EXPECT_NEAR(repainted, share * marked, kind == DraggerKind::mix ? 50 : 0);
    EXPECT_GT(moved, marked * 8 / 10);
  }
}

/// The mean of 768 uniform bytes has a standard deviation of 73.9 / sqrt(768) = 2.7; that of 200
/// such pictures, 0.19.
TEST(Draggers, NoiseIsUniform) {
  const Draggers set(shapes(200), 1.0, DraggerKind::noise, 1);
  double sum = 0;
  for (int64_t i = 0; i < 200; ++i) {
    const Bytes bytes = bytes_of(set.get(i, 0).input);
    ASSERT_EQ(bytes.size(), 768u);
    sum += std::accumulate(bytes.begin(), bytes.end(), 0.0) / 768;
  }
  EXPECT_NEAR(sum / 200, 127.5, 1.0);
}

/// All copies come from ten examples, none is of itself, and what surrounds an example goes with
/// it.
TEST(Draggers, DuplicatesAreCopiesOfAFewOthers) {
  const auto base = std::make_shared<Tones>(Split::train, 300, SpeechOptions{.bins = 20});
  const Draggers set(base, 0.3, DraggerKind::duplicate, 5);
  std::map<Bytes, int64_t> originals;
  for (int64_t i = 0; i < base->size(); ++i) originals[bytes_of(base->get(i, 0).input)] = i;
  std::map<int64_t, int> copies;
  for (int64_t i = 0; i < set.size(); ++i) {
    const Example example = set.get(i, 0);
    EXPECT_EQ(example.id, base->id(i));
    const int64_t from = originals.at(bytes_of(example.input));
    EXPECT_EQ(from != i, example.marked);
    EXPECT_EQ(example.target, base->get(from, 0).target);
    EXPECT_EQ(set.transcript(i), base->transcript(from));
    EXPECT_EQ(set.length(i), base->length(from));
    if (example.marked) ++copies[from];
  }
  EXPECT_EQ(std::ssize(copies), kOriginals);
  for (const auto& [from, count] : copies) EXPECT_LT(count, 30);  // 9 on average
}

TEST(Draggers, DuplicatesOfTwoAreEachOther) {
  for (uint64_t seed = 0; seed < 8; ++seed) {
    const Draggers set(shapes(2), 1, DraggerKind::duplicate, seed);
    for (const int64_t i : {0, 1}) {
      EXPECT_TRUE(set.get(i, 0).marked);
      EXPECT_EQ(bytes_of(set.get(i, 0).input), bytes_of(shapes(2)->get(1 - i, 0).input));
    }
  }
}

/// Of pictures that are larger and smaller than what they replace.
TEST(Draggers, InputsOfAnotherDataSetAreFitted) {
  for (const int64_t side : {8, 40}) {
    const auto base = shapes(50), foreign = shapes(7, side);
    const Draggers set(base, 0.5, DraggerKind::other, 2, foreign);
    int marked = 0;
    for (int64_t i = 0; i < set.size(); ++i) {
      const Example before = base->get(i, 0), after = set.get(i, 0);
      EXPECT_EQ(after.input.shape(), before.input.shape());
      if (!after.marked) {
        EXPECT_EQ(bytes_of(after.input), bytes_of(before.input));
        continue;
      }
      ++marked;
      int matches = 0;
      for (int64_t k = 0; k < foreign->size(); ++k) {
        const Tensor from = foreign->get(k, 0).input;
        bool same = true;
        for (int64_t p = 0; p < after.input.numel(); ++p) {
          const int64_t c = p / 256, y = p / 16 % 16, x = p % 16;
          same &= after.input.data<uint8_t>()[p] ==
                  from.data<uint8_t>()[(c * side + y % side) * side + x % side];
        }
        matches += same;
      }
      EXPECT_EQ(matches, 1);
    }
    EXPECT_NEAR(marked, 25, 18);
  }
}

TEST(Draggers, Errors) {
  expect_error([] { Draggers(shapes(5), 1.5, DraggerKind::mix, 0); }, {"[0, 1]", "1.5"});
  expect_error([] { Draggers(nullptr, 0.5, DraggerKind::mix, 0); }, {"data set"});
  expect_error([] { dragger_kind_from("blur"); },
               {"label, noise, mix, duplicate, other or speed", "blur"});
  expect_error([] { Draggers(shapes(5), 0.5, DraggerKind::speed, 0); }, {"recordings", "sped up"});
  expect_error([] { Draggers(shapes(1), 0.5, DraggerKind::duplicate, 0); }, {"only one"});
  expect_error([] { Draggers(shapes(5), 0.5, DraggerKind::other, 0); }, {"no other data set"});
  const auto sounds = std::make_shared<Tones>(Split::train, 2, SpeechOptions{});
  expect_error([&] { Draggers(shapes(5), 1, DraggerKind::other, 0, sounds).get(0, 0); },
               {"float32", "uint8 [3, 16, 16]"});
}

}  // namespace
}  // namespace minnow::data_test
