#include "data/feature_folder.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "engine/files.h"
#include "tests/data/files.h"

namespace minnow::data_test {
namespace {

namespace fs = std::filesystem;

class Features : public testing::Test {
 protected:
  Features() { write_file(source(), {1, 2, 3}); }
  fs::path source() const { return files.path() / "sound"; }
  std::string folder() const { return (files.path() / "kept" / "here").string(); }
  /// The features that a new user of the folder gets; numbers, or those that another asked for.
  std::vector<float> get(const std::vector<float>& numbers, const std::string& what = "at 16000") {
    FeatureFolder kept(folder(), [&](const std::string& problem) { problems.push_back(problem); });
    const auto make = [&] {
      ++made;
      return Tensor::from(numbers, {std::ssize(numbers) / 2, 2});
    };
    const Tensor features = kept.get(source(), what, make);
    EXPECT_EQ(features.shape(), (Shape{std::ssize(numbers) / 2, 2}));
    return features.to_vector<float>();
  }
  std::vector<fs::path> kept() const {
    std::vector<fs::path> all;
    for (const auto& entry : fs::recursive_directory_iterator(folder())) {
      if (entry.is_regular_file()) all.push_back(entry.path());
    }
    return all;
  }

  TemporaryFolder files;
  std::vector<std::string> problems;
  int made = 0;
};

Bytes content(const fs::path& path) {
  const std::string text = read_text_file(path);
  return {text.begin(), text.end()};
}

const std::vector<float> a = {1, -2, 0.1f, 1e-30f}, b = {5, 6, 7, 8};

TEST_F(Features, AreMadeOnceForEachDescription) {
  EXPECT_EQ(get(a), a);
  EXPECT_EQ(get(b), a);
  EXPECT_EQ(made, 1);
  EXPECT_EQ(get(b, "at 8000"), b);
  EXPECT_EQ(get(a, "at 8000"), b);
  EXPECT_EQ(get(b), a);
  EXPECT_EQ(made, 2);
  EXPECT_EQ(kept().size(), 2u);
  EXPECT_TRUE(problems.empty());
}

TEST_F(Features, OfAFileThatChangedAreMadeAnew) {
  get(a);
  write_file(source(), {1, 2, 3, 4});
  EXPECT_EQ(get(b), b);
  fs::last_write_time(source(), fs::last_write_time(source()) + std::chrono::seconds(1));
  EXPECT_EQ(get(a), a);
  EXPECT_EQ(get(b), a);
  EXPECT_EQ(made, 3);
  EXPECT_EQ(kept().size(), 1u);  // in the place of the old ones
}

/// Any byte that changes, the file cut anywhere or longer, and other features in its place.
TEST_F(Features, DamagedOnesAreMadeAnew) {
  get(a);
  get(b, "other");
  const auto is_other = [](const fs::path& file) {
    return read_text_file(file).find("other") != std::string::npos;
  };
  std::vector<fs::path> all = kept();
  ASSERT_EQ(all.size(), 2u);
  if (is_other(all[0])) std::swap(all[0], all[1]);
  const Bytes good = content(all[0]);
  std::vector<Bytes> bad = {{}, content(all[1]), good};
  bad.back().push_back(0);
  for (size_t i = 0; i < good.size(); ++i) {
    bad.emplace_back(good.begin(), good.begin() + static_cast<ptrdiff_t>(i));
    bad.push_back(good);
    bad.back()[i] ^= 1;
  }
  made = 0;
  for (const Bytes& bytes : bad) {
    write_file(all[0], bytes);
    EXPECT_EQ(get(a), a);
    EXPECT_EQ(content(all[0]), good);
  }
  EXPECT_EQ(made, std::ssize(bad));
  EXPECT_EQ(get(b), a);
}

TEST_F(Features, WhatCannotBeKeptIsMade) {
  get(a);
  const fs::path place = kept().front();
  fs::remove(place);
  fs::create_directory(place);
  std::vector<std::string> told;
  FeatureFolder folder(this->folder(), [&](const std::string& text) { told.push_back(text); });
  const auto make = [] { return Tensor::from(b, {2, 2}); };
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(folder.get(source(), "at 16000", make).to_vector<float>(), b);
  }
  ASSERT_EQ(told.size(), 1u);
  EXPECT_NE(told[0].find("data.cache_dir"), std::string::npos) << told[0];
  EXPECT_NE(told[0].find(place.string()), std::string::npos) << told[0];
}

TEST_F(Features, LeftoversOfKilledWritersGo) {
  get(a);
  const fs::path left = kept().front().parent_path() / ".minnow-1-1.tmp";
  write_file(left, {1});
  get(a);
  EXPECT_EQ(kept().size(), 1u);
}

TEST_F(Features, WithoutAFolderNothingIsKept) {
  FeatureFolder none("", [](const std::string&) {});
  int count = 0;
  const auto make = [&] { return ++count, Tensor::from(a, {2, 2}); };
  none.get(source(), "x", make);
  none.get(source(), "x", make);
  EXPECT_EQ(count, 2);
}

TEST_F(Features, SeveralMayWriteAtOnce) {
  std::vector<std::thread> threads;
  FeatureFolder folder(this->folder(), [](const std::string&) {});
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int k = 0; k < 20; ++k) {
        const float x = static_cast<float>(k);
        const Tensor got = folder.get(source(), std::to_string(k), [&] {
          return Tensor::from<float>({x, 1}, {1, 2});
        });
        EXPECT_EQ(got.to_vector<float>(), (std::vector<float>{x, 1}));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(kept().size(), 20u);
}

TEST_F(Features, Errors) {
  const std::string below = (source() / "folder").string();
  for (const std::string& name : {source().string(), below}) {
    expect_error([&] { FeatureFolder(name, [](const std::string&) {}); },
                 {"data.cache_dir", "cannot make the folder", name});
  }
}

}  // namespace
}  // namespace minnow::data_test
