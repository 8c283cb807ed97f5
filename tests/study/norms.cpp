#include "train/study/norms.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "engine/files.h"
#include "tests/expect_error.h"
#include "tests/temporary_folder.h"
#include "tests/train/program.h"
#include "train/run_folder.h"
#include "train/trainer.h"

namespace minnow::study {
namespace {

using Json = nlohmann::json;

Json step(int64_t number, std::vector<double> norms, int64_t argmin, std::vector<int> marked) {
  Json record{
      {"kind", "step"}, {"step", number}, {"argmin", argmin}, {"norms", norms}, {"marked", marked}};
  for (size_t j = 0; j < norms.size(); ++j) {
    record["ids"].push_back(10 + j);
    record["coefficients"].push_back(norms[argmin] / norms[j]);  // clip.rule = min
  }
  return record;
}

TEST(NormTallies, SharesMinimaAndClasses) {
  NormTallies tallies([](int64_t id) { return id == 10 ? "a" : "b"; });
  tallies.add(step(1, {4, 1, 5}, 1, {0, 1, 0}));
  tallies.add({{"kind", "eval"}, {"step", 1}});
  tallies.add(step(2, {2, 8, 10}, 0, {0, 1, 0}));
  EXPECT_EQ(tallies.steps(), 2);
  const Tally &benign = tallies.marks()[0], &dragger = tallies.marks()[1];
  EXPECT_EQ(benign.count, 4);
  EXPECT_EQ(benign.minima, 1);
  EXPECT_EQ(benign.norms, 21);
  EXPECT_DOUBLE_EQ(benign.plain, 0.9 + 0.6);
  EXPECT_DOUBLE_EQ(benign.clipped, 4.0 / 3);  // under rule min all shares are equal
  EXPECT_DOUBLE_EQ(benign.coefficients, 0.25 + 0.2 + 1 + 0.2);
  EXPECT_EQ(dragger.count, 2);
  EXPECT_EQ(dragger.minima, 1);
  EXPECT_DOUBLE_EQ(dragger.plain, 0.1 + 0.4);

  EXPECT_EQ(tallies.classes().at("a").norms, 6);
  EXPECT_EQ(tallies.classes().at("b").norms, 24);
  EXPECT_EQ(tallies.examples().at(11).tally.minima, 1);
  EXPECT_TRUE(tallies.examples().at(11).marked);
  EXPECT_EQ(tallies.examples().at(12).name, "b");
  // Three norms a step: ranks 0, 1, 2 are the tenths 0, 3, 6.
  EXPECT_DOUBLE_EQ(tallies.quantiles()[0].plain, 0.1 + 0.1);
  EXPECT_DOUBLE_EQ(tallies.quantiles()[3].plain, 0.4 + 0.4);
  EXPECT_DOUBLE_EQ(tallies.quantiles()[6].plain, 0.5 + 0.5);
  EXPECT_EQ(tallies.quantiles()[1].count, 0);
}

TEST(NormTallies, WindowsHoldEveryStepOnce) {
  NormTallies tallies({});
  for (int64_t s = 1; s <= 7; ++s) tallies.add(step(10 * s, {static_cast<double>(s)}, 0, {0}));
  const auto windows = tallies.windows(3);
  ASSERT_EQ(windows.size(), 3);
  EXPECT_EQ(windows[0].first, 10);
  EXPECT_EQ(windows[0].last, 20);
  EXPECT_EQ(windows[1].first, 30);
  EXPECT_EQ(windows[2].last, 70);
  double norms = 0;
  for (const auto& window : windows) norms += window.marks[0].norms;
  EXPECT_EQ(norms, 28);
  EXPECT_EQ(tallies.windows(100).size(), 7);
  EXPECT_TRUE(tallies.examples().empty());
}

TEST(NormTallies, NormsThatAreNotFiniteAreLeftOut) {
  NormTallies tallies({});
  Json record = step(1, {2, 3}, 0, {0, 1});
  record["norms"][1] = nullptr;
  tallies.add(record);
  EXPECT_EQ(tallies.marks()[0].plain, 1);
  EXPECT_EQ(tallies.marks()[1].count, 0);
  record["ids"].clear();
  expect_error([&] { tallies.add(record); }, {"ids", "2 numbers"});
}

// As training records it under clip.rule = min.
TEST(NormTallies, ZeroNormsHaveNoShare) {
  NormTallies tallies({});
  Json record = step(1, {0, 2, 4}, 1, {1, 0, 0});
  record["coefficients"][0] = 0;
  tallies.add(record);
  EXPECT_EQ(tallies.marks()[0].clipped, 1);
  EXPECT_EQ(tallies.marks()[1].count, 1);
  EXPECT_EQ(tallies.marks()[1].clipped, 0);
  EXPECT_EQ(tallies.marks()[1].minima, 0);
}

void train(std::vector<std::string> settings) {
  Trainer trainer(plan_run(settings).config);
  EXPECT_EQ(trainer.run(), Outcome::finished);
}

TEST(NormStudy, OfARun) {
  const TemporaryFolder folder;
  const std::string run = (folder / "run").string();
  train(test::tiny(
      {"train.steps=4", "clip.rule=min", "log.norms=true", "data.draggers=0.2", "run.dir=" + run}));
  const NormStudy study = study_norms({run});
  EXPECT_EQ(study.why_no_classes, "");
  EXPECT_EQ(study.tallies.steps(), 4);
  const auto& marks = study.tallies.marks();
  EXPECT_EQ(marks[0].count + marks[1].count, 4 * 32);
  EXPECT_GT(marks[1].count, 0);
  EXPECT_EQ(marks[0].minima + marks[1].minima, 4);
  int64_t seen = 0;
  for (const auto& [name, tally] : study.tallies.classes()) {
    EXPECT_NE(name, "");
    seen += tally.count;
  }
  EXPECT_EQ(seen, 4 * 32);
  EXPECT_EQ(study.tallies.examples().size(), 96);
  for (const Tally& tenth : study.tallies.quantiles()) {
    EXPECT_NEAR(tenth.clipped / static_cast<double>(tenth.count), 1.0 / 32, 1e-6);
  }
}

TEST(NormStudy, MicroBatchesOfSeveralHaveNoClass) {
  const TemporaryFolder folder;
  const std::string run = (folder / "run").string();
  train(test::tiny({"train.steps=2", "clip.rule=min", "clip.micro_batch=4", "log.norms=true",
                    "run.dir=" + run}));
  const NormStudy study = study_norms({run});
  EXPECT_NE(study.why_no_classes, "");
  EXPECT_EQ(study.tallies.marks()[0].count, 2 * 8);
  EXPECT_TRUE(study.tallies.classes().empty());
}

TEST(NormStudy, WrongInput) {
  const TemporaryFolder folder;
  const std::string run = (folder / "run").string();
  train(test::tiny({"train.steps=1", "run.dir=" + run}));
  expect_error([&] { study_norms({run}); }, {"metrics.jsonl", "log.norms=true"});
  expect_error([&] { study_norms({folder.path().string()}); }, {"is no run folder"});
  expect_error([&] { study_norms({"nowhere"}); }, {"nowhere"});
  expect_error([&] { study_norms({}); }, {"got nothing"});
}

}  // namespace
}  // namespace minnow::study
