#include "train/confusion.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "engine/files.h"
#include "nn/module.h"
#include "tests/device.h"
#include "tests/expect_error.h"
#include "tests/temporary_folder.h"
#include "tests/train/program.h"
#include "train/task.h"

namespace minnow {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

/// Two classes and one without examples.
Score example() {
  Score score;
  score.examples = 7;
  score.classes = 3;
  score.confusion = {3, 1, 0,  //
                     2, 0, 1,  //
                     0, 0, 0};
  return score;
}
const std::vector<std::string> names = {"a\tb", "größe", "none"};

TEST(Confusion, TableOfClasses) {
  EXPECT_EQ(example().count(1), 3);
  EXPECT_EQ(example().confused(1, 2), 1);
  EXPECT_EQ(class_table(example(), names),
            "class  examples   correct  accuracy\n"
            "a b           4         3   75.00 %\n"
            "größe         3         0    0.00 %\n"
            "none          0         0         -\n");
  EXPECT_EQ(class_records(example(), names),
            Json::parse(R"([{"name": "a\tb", "examples": 4, "correct": 3, "accuracy": 0.75},
                            {"name": "größe", "examples": 3, "correct": 0, "accuracy": 0.0},
                            {"name": "none", "examples": 0, "correct": 0, "accuracy": null}])"));
}

TEST(Confusion, Files) {
  const TemporaryFolder folder;
  save_confusion(folder / "c.tsv", example(), names);
  EXPECT_EQ(read_text_file(folder / "c.tsv"),
            "label\ta b\tgröße\tnone\na b\t3\t1\t0\ngröße\t2\t0\t1\nnone\t0\t0\t0\n");
  save_confusion(folder / "c.json", example(), names);
  EXPECT_EQ(Json::parse(read_text_file(folder / "c.json")),
            Json({{"classes", names}, {"matrix", {{3, 1, 0}, {2, 0, 1}, {0, 0, 0}}}}));
  EXPECT_NO_THROW(check_confusion_path(""));
  EXPECT_NO_THROW(check_confusion_path(folder / "c.tsv"));
  expect_error([&] { check_confusion_path(folder / "c.csv"); }, {"--confusion", "c.csv", ".tsv"});
  expect_error([&] { check_confusion_path(folder / "no/c.tsv"); }, {"--confusion", "no folder"});
}

// The last batch is shorter; the logits of each example alone say what is taken for what.
TEST(Confusion, CountsWhatEachExampleIsTakenFor) {
  Config config;
  apply_overrides(config, test::tiny({"data.test_size=70"}));
  const auto data = open_data(config, Split::test, false);
  resolve(config, *data);
  const auto model = make_model(config, notes_on(*data));
  model->to(test::test_device());
  const Score score = evaluate(*model, config, data);
  ASSERT_EQ(score.classes, 10);
  std::vector<int64_t> expected(100, 0);
  int64_t correct = 0;
  for (int64_t i = 0; i < 70; ++i) {
    const Example one = data->get(i, 0);
    Tape tape(Tape::Mode::evaluate);
    const Tensor input = test::on_device(one.input.reshape({1, 3, 8, 8}));
    const auto logits =
        test::on_cpu(logits_of(*model, config, tape, input).value()).to_vector<float>();
    const auto best = std::max_element(logits.begin(), logits.end()) - logits.begin();
    ++expected[static_cast<size_t>(one.label * 10 + best)];
    correct += best == one.label ? 1 : 0;
  }
  EXPECT_EQ(score.confusion, expected);
  EXPECT_DOUBLE_EQ(score.top1 * 70, static_cast<double>(correct));
  int64_t diagonal = 0;
  for (int64_t c = 0; c < 10; ++c) diagonal += score.correct(c);
  EXPECT_EQ(diagonal, correct);
}

TEST(Confusion, OfTheCommandEval) {
  const TemporaryFolder folder;
  auto train = test::tiny({"train.steps=3", "run.dir=r"});
  train.insert(train.begin(), "train");
  ASSERT_EQ(test::run_minnow(folder.path(), train).status, 0);
  const auto text =
      test::run_minnow(folder.path(), {"eval", "r", "--classes", "--confusion", "c.json"});
  ASSERT_EQ(text.status, 0) << text.err;
  EXPECT_NE(text.out.find("\nclass "), std::string::npos) << text.out;
  const auto json = test::run_minnow(folder.path(), {"eval", "r", "--classes", "--json"});
  const Json record = Json::parse(json.out);
  const Json written = Json::parse(read_text_file(folder / "c.json"));
  ASSERT_EQ(record["classes"].size(), 10u);
  int64_t examples = 0, correct = 0;
  for (size_t c = 0; c < 10; ++c) {
    EXPECT_EQ(record["classes"][c]["name"], written["classes"][c]);
    EXPECT_EQ(record["classes"][c]["correct"], written["matrix"][c][c]);
    examples += record["classes"][c]["examples"].get<int64_t>();
    correct += record["classes"][c]["correct"].get<int64_t>();
  }
  EXPECT_EQ(examples, 40);
  EXPECT_DOUBLE_EQ(static_cast<double>(correct) / 40, record["top1"]);
  const auto refused = test::run_minnow(folder.path(), {"eval", "r", "--confusion", "c.txt"});
  EXPECT_EQ(refused.status, 2);
  EXPECT_NE(refused.err.find("c.txt"), std::string::npos) << refused.err;
}

}  // namespace
}  // namespace minnow
