#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <sstream>

#include "engine/safetensors.h"
#include "tests/data/files.h"
#include "tests/temporary_folder.h"
#include "tests/train/program.h"
#include "train/run_folder.h"

namespace minnow {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using test::Ended;
using test::run_minnow;

#define EXPECT_HAS(text, part) EXPECT_NE((text).find(part), std::string::npos) << (text)

std::vector<Json> lines(const std::string& text) {
  std::istringstream stream(text);
  std::vector<Json> all;
  for (std::string line; std::getline(stream, line);) all.push_back(Json::parse(line));
  return all;
}

/// A run on pictures of three colours and sizes, four of each to learn from and to test on.
class Predict : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* split : {"train", "test"}) {
      for (int i = 0; i < 12; ++i) {
        const auto shade = static_cast<uint8_t>(60 + 15 * i);
        const data_test::Bytes pixels = data_test::plain(8 + i, i % 3 == 0 ? shade : uint8_t{20},
                                                         i % 3 == 1 ? shade : uint8_t{40}, 30);
        const std::string name = fmt::format("{}/{}/{}.png", split, names[i % 3], i);
        data_test::write_file(folder / name, data_test::png(8 + i, 8 + i, 3, pixels));
        if (split == std::string("test")) files.push_back(name);
      }
    }
    auto train = test::tiny({"data.name=imagefolder", "data.path=.", "train.batch=6",
                             "train.steps=4", "optim.lr=0.01", "run.dir=r", "run.save=w"});
    train.insert(train.begin(), "train");
    const Ended ended = run_minnow(folder.path(), train);
    ASSERT_EQ(ended.status, 0) << ended.err;
  }
  Ended predict(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "predict");
    return run_minnow(folder.path(), std::move(arguments));
  }

  const std::vector<std::string> names = {"blau", "größe", "rot, dunkel"};
  TemporaryFolder folder;
  std::vector<std::string> files;
};

// What is taken for what is what `minnow eval` counts, from a run folder and from saved weights.
TEST_F(Predict, AgreesWithEval) {
  const Ended eval = run_minnow(folder.path(), {"eval", "r", "--confusion", "c.json"});
  ASSERT_EQ(eval.status, 0) << eval.err;
  const Json expected = Json::parse(read_text_file(folder / "c.json"));
  EXPECT_EQ(expected["classes"], names);
  for (const char* source : {"r", "w"}) {
    std::vector<std::string> arguments = {source, "--json"};
    arguments.insert(arguments.end(), files.begin(), files.end());
    const Ended ended = predict(arguments);
    ASSERT_EQ(ended.status, 0) << ended.err;
    EXPECT_EQ(ended.err, "");
    const std::vector<Json> found = lines(ended.out);
    ASSERT_EQ(found.size(), files.size());
    Json matrix = std::vector<std::vector<int>>(3, std::vector<int>(3, 0));
    for (size_t i = 0; i < files.size(); ++i) {
      EXPECT_EQ(found[i]["file"], files[i]);
      ASSERT_EQ(found[i]["classes"].size(), 3u);  // --top 5 of three
      double sum = 0, before = 1;
      for (const Json& guess : found[i]["classes"]) {
        EXPECT_LE(guess["probability"], before);
        sum += before = guess["probability"];
      }
      EXPECT_NEAR(sum, 1, 1e-14);  // of three numbers rounded to 1e-16
      const auto best = std::find(names.begin(), names.end(), found[i]["classes"][0]["name"]);
      Json& cell = matrix[i % 3][static_cast<size_t>(best - names.begin())];
      cell = cell.get<int>() + 1;
    }
    EXPECT_EQ(matrix, expected["matrix"]);
  }
}

// More than one batch of files, some of which cannot be read: the others come in their order.
TEST_F(Predict, AFileThatCannotBeReadDoesNotStopTheOthers) {
  data_test::write_file(folder / "broken.png", {1, 2, 3});
  std::vector<std::string> arguments = {"r", "--top", "1"};
  std::string expected_order;
  for (size_t i = 0; i < 70; ++i) {
    arguments.push_back(i == 2 ? "broken.png" : i == 66 ? "none.jpg" : files[i % 12]);
    if (i != 2 && i != 66) expected_order += files[i % 12] + "\n";
  }
  const Ended ended = predict(arguments);
  EXPECT_EQ(ended.status, 2);
  EXPECT_HAS(ended.err, "minnow: broken.png: ");
  EXPECT_HAS(ended.err, "none.jpg: No such file");
  EXPECT_EQ(std::count(ended.err.begin(), ended.err.end(), '\n'), 2) << ended.err;
  std::istringstream out(ended.out);
  std::string order;
  for (std::string line; std::getline(out, line);) {
    EXPECT_TRUE(line.ends_with(" %")) << line;
    order += line.substr(0, line.find(": ")) + "\n";
  }
  EXPECT_EQ(order, expected_order);
}

TEST_F(Predict, WrongArguments) {
  save_safetensors(folder / "foreign", load_safetensors(folder / "w").tensors);
  const auto fails = [&](std::vector<std::string> arguments, const char* part) {
    const Ended ended = predict(std::move(arguments));
    EXPECT_EQ(ended.status, 2);
    EXPECT_HAS(ended.err, part);
    EXPECT_EQ(ended.out, "");
  };
  fails({"foreign", files[0]}, "foreign: does not say what its model and its classes are");
  fails({"nowhere", files[0]}, "nowhere");
  fails({"r"}, "files is required");
  fails({"r", files[0], "--top", "0"}, "--top");
}

// Two classes, told apart by one unit that adds the pixels of a grey picture up: logits 0 and s.
TEST(PredictGrey, AModelOfOneChannelSeesTheBrightness) {
  const TemporaryFolder folder;
  Config config;
  apply_overrides(config, test::tiny({"data.mean=[0.0]", "data.std=[1.0]", "model.hidden=[1]"}));
  config.model.vit.image = 2;
  config.data.set.image_size = 2;
  const std::vector<NamedTensor> weights = {
      {"layers.0.weight", Tensor::full({1, 4}, 1)},
      {"layers.0.bias", Tensor::zeros({1})},
      {"layers.1.weight", Tensor::from(std::vector<float>{0, 1}, {2, 1})},
      {"layers.1.bias", Tensor::zeros({2})}};
  save_safetensors(folder / "w", weights, weights_metadata(config, {{"dark", "bright"}, 1}));
  data_test::write_file(folder / "grey.png", data_test::png(2, 2, 1, {0, 51, 102, 153}));
  data_test::write_file(folder / "green.png",
                        data_test::png(2, 2, 3, data_test::plain(2, 0, 255, 0)));
  const Ended ended =
      run_minnow(folder.path(), {"predict", "w", "grey.png", "green.png", "--json"});
  ASSERT_EQ(ended.status, 0) << ended.err;
  const std::vector<Json> found = lines(ended.out);
  const double sums[] = {1.2, 4 * 150 / 255.0};  // 0.587 x 255 = 149.7
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(found[i]["classes"][0]["name"], "bright");
    // Four pixels and three sums, each rounded to 2^-24 of at most 2.4.
    EXPECT_NEAR(found[i]["classes"][0]["probability"], 1 / (1 + std::exp(-sums[i])),
                7 * 2.4 * 0x1p-24);
  }
}

}  // namespace
}  // namespace minnow
