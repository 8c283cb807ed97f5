#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "data/imagefolder.h"
#include "engine/files.h"
#include "kernels/random.h"
#include "tests/fuzz/targets.h"
#include "tests/paths.h"
#include "tests/temporary_folder.h"

namespace minnow::fuzz {
namespace {

namespace fs = std::filesystem;
using Input = std::vector<uint8_t>;

struct Seed {
  std::string name;
  Input bytes;
};

/// The inputs kept for a target, in the order of their names.
std::vector<Seed> seeds_of(std::string_view target) {
  std::vector<Seed> seeds;
  for (const auto& entry : fs::directory_iterator(test::source_path("tests/fuzz/seeds") / target)) {
    const std::string text = read_text_file(entry.path());
    seeds.push_back({entry.path().filename().string(), {text.begin(), text.end()}});
  }
  std::sort(seeds.begin(), seeds.end(),
            [](const Seed& a, const Seed& b) { return a.name < b.name; });
  return seeds;
}

/// Parsers take or refuse every input ever kept, and nothing else happens.
TEST(Fuzz, Seeds) {
  for (const Target& target : targets()) {
    int64_t taken = 0, refused = 0;
    for (const Seed& seed : seeds_of(target.name)) {
      try {
        (run(target, seed.bytes) ? taken : refused)++;
      } catch (const std::exception& failure) {
        ADD_FAILURE() << target.name << "/" << seed.name << ": " << failure.what();
      }
    }
    EXPECT_GT(taken, 0) << target.name << " needs a seed that is read to the end";
    EXPECT_GT(taken + refused, 1) << target.name;
  }
}

/// A few bytes changed, taken out, doubled or cut off.
Input mutated(Input bytes, RandomSequence& random) {
  for (int64_t left = 1 + random.below(4); left > 0 && !bytes.empty(); --left) {
    const auto at = bytes.begin() + random.below(std::ssize(bytes));
    const auto end = at + random.below(std::min<int64_t>(bytes.end() - at, 32) + 1);
    switch (random.below(8)) {
      case 0:
        bytes.erase(at, end);
        break;
      case 1: {
        const Input piece(at, end);
        bytes.insert(at, piece.begin(), piece.end());
        break;
      }
      case 2:
        bytes.erase(end, bytes.end());
        break;
      default:
        *at = static_cast<uint8_t>(random.below(256));
    }
  }
  return bytes;
}

/// Every picture of a folder full of damage is either read or named with a reason.
TEST(Fuzz, AFolderOfDamagedPictures) {
  constexpr int64_t count = 5000, side = 16;
  const TemporaryFolder folder;
  const std::vector<Seed> seeds = seeds_of("picture");
  RandomSequence random({.seed = 1});
  fs::create_directories(folder / "train/a");
  for (const char* whole : {"train/b", "test/a", "test/b"}) {
    fs::create_directories(folder / whole);
    fs::copy(test::source_path("tests/fuzz/seeds/picture/photo.jpg"), folder / whole);
  }
  for (int64_t i = 0; i < count; ++i) {
    const Input bytes = mutated(seeds[static_cast<size_t>(i) % seeds.size()].bytes, random);
    std::ofstream file(folder / fmt::format("train/a/{:04}.jpg", i), std::ios::binary);
    file.write(reinterpret_cast<const char*>(bytes.data()), std::ssize(bytes));
  }
  const ImageFolder pictures(folder.path().string(), Split::train, {.size = side});
  const std::vector<std::string> warnings = pictures.warnings();
  EXPECT_EQ(pictures.size() + std::ssize(warnings), count + 1);
  EXPECT_GT(pictures.size(), count / 10) << "a changed pixel or two damages no picture";
  EXPECT_GT(std::ssize(warnings), count / 10) << "a changed header does";
  const std::string start = (folder / "train/a/").string();
  for (const std::string& warning : warnings) {
    const size_t reason = warning.find(".jpg: ");
    EXPECT_TRUE(warning.starts_with("picture: ") || warning.starts_with(start)) << warning;
    EXPECT_TRUE(reason != std::string::npos && reason + 7 < warning.size()) << warning;
  }
}

}  // namespace
}  // namespace minnow::fuzz
