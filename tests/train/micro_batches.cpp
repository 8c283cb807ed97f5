#include "train/micro_batches.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>

#include "tests/expect_error.h"
#include "tests/temporary_folder.h"
#include "train/domain_score.h"
#include "train/run_folder.h"
#include "train/trainer.h"

namespace minnow {
namespace {

using Integers = std::vector<int64_t>;

Config by_domain(int64_t micro_batch) {
  Config config;
  config.clip.rule = "min";
  config.clip.group = config.clip.scope = "domain";
  config.clip.micro_batch = micro_batch;
  return config;
}

/// Example i has input {10 i, 10 i + 1}, label, id and length i.
Batch batch_of(Integers domains) {
  const int64_t n = std::ssize(domains);
  Integers counted(domains.size()), inputs;
  std::iota(counted.begin(), counted.end(), 0);
  for (const int64_t i : counted) inputs.insert(inputs.end(), {10 * i, 10 * i + 1});
  const Tensor column = Tensor::from(counted, {n});
  return {.inputs = Tensor::from(inputs, {n, 2}),
          .labels = column,
          .ids = column,
          .marked = std::vector<bool>(domains.size(), false),
          .domains = std::move(domains),
          .lengths = column};
}

TEST(MicroBatches, RunsIgnoreDomains) {
  Config config;
  const Batch batch = batch_of({1, 0, 1, 0, 1});
  EXPECT_EQ(micro_batches(config, batch).groups(), 1);
  config.clip.rule = "min";
  config.clip.micro_batch = 2;
  const Grouping groups = micro_batches(config, batch);
  EXPECT_EQ(groups.bounds(), (Integers{0, 2, 4, 5}));
  EXPECT_TRUE(groups.order().empty());
  EXPECT_TRUE(groups.domains().empty());
}

TEST(MicroBatches, OfOneDomainEach) {
  // Four examples of domain 2, one of domain 0, five of domain 3; 5 = 2 + 2 + 1 at most.
  const Batch batch = batch_of({3, 2, 2, 0, 3, 2, 3, 3, 2, 3});
  const Grouping groups = micro_batches(by_domain(2), batch);
  EXPECT_EQ(groups.order(), (Integers{3, 1, 2, 5, 8, 0, 4, 6, 7, 9}));
  EXPECT_EQ(groups.bounds(), (Integers{0, 1, 3, 5, 7, 9, 10}));
  EXPECT_EQ(groups.domains(), (Integers{0, 2, 2, 3, 3, 3}));
  // 5 in two: not 4 and a rest of 1, which would weigh as much.
  const Grouping even = micro_batches(by_domain(4), batch);
  EXPECT_EQ(even.bounds(), (Integers{0, 1, 5, 8, 10}));
}

TEST(MicroBatches, EveryPartOfTheBatchIsArranged) {
  Batch batch = batch_of({1, 0, 1});
  batch.marked = {true, false, false};
  batch.targets = Tensor::from(Integers{5, 6, 7}, {3, 1});
  batch.target_lengths = Tensor::from(Integers{1, 0, 1}, {3});
  batch.texts = {"a", "b", "c"};
  const auto finish = batch_finisher(by_domain(2), 2);
  finish(batch, 0);
  EXPECT_EQ(batch.texts, (std::vector<std::string>{"b", "a", "c"}));
  EXPECT_EQ(batch.inputs.to_vector<int64_t>(), (Integers{10, 11, 0, 1, 20, 21}));
  for (const Tensor& part : {batch.labels, batch.ids, batch.lengths})
    EXPECT_EQ(part.to_vector<int64_t>(), (Integers{1, 0, 2}));
  EXPECT_EQ(batch.marked, (std::vector<bool>{false, true, false}));
  EXPECT_EQ(batch.domains, (Integers{0, 1, 1}));
  EXPECT_EQ(batch.targets.to_vector<int64_t>(), (Integers{6, 5, 7}));
  EXPECT_EQ(batch.target_lengths.to_vector<int64_t>(), (Integers{0, 1, 1}));
  EXPECT_TRUE(micro_batches(by_domain(2), batch).order().empty());
}

TEST(MicroBatches, NothingToFinish) {
  EXPECT_FALSE(batch_finisher(Config(), 2));
  Config unused = by_domain(2);
  unused.clip.rule = "none";
  EXPECT_FALSE(batch_finisher(unused, 2));
}

TEST(DomainScore, CountsAndSays) {
  DomainScore score{.names = {"books", "toys", "none"}, .examples = {}, .correct = {}};
  for (const bool right : {true, false, true, true}) score.add(0, right);
  score.add(1, false);
  const nlohmann::json record = domain_record(score);
  EXPECT_EQ(record["books"], 0.75);
  EXPECT_EQ(record["toys"], 0.0);
  EXPECT_TRUE(record["none"].is_null());
  EXPECT_EQ(domain_table(score),
            "domain  examples   correct  accuracy\n"
            "books          4         3   75.00 %\n"
            "toys           1         0    0.00 %\n"
            "none           0         0         -\n");
}

/// Files of reviews of two domains, where a word decides; a tiny run on them.
class ReviewRuns : public testing::Test {
 protected:
  ReviewRuns() {
    for (const std::string domain : {"books", "toys"}) {
      for (const std::string split : {"train", "test"}) {
        std::ofstream file(folder / (domain + ".task." + split));
        for (int i = 0; i < (split == "train" ? 40 : 10); ++i) {
          const int label = i * 7 % 3 % 2;
          file << label << "\tone of the " << domain << " was " << (label == 1 ? "good" : "bad")
               << std::string(static_cast<size_t>(i % 4), '!') << '\n';
        }
      }
    }
  }

  RunPlan plan(std::vector<std::string> more, const std::string& name) const {
    std::vector<std::string> all = {
        "data.name=reviews", "model.name=text",        "model.dim=8",        "model.depth=1",
        "model.heads=2",     "model.dropout=0.1",      "data.vocabulary=40", "train.batch=16",
        "train.steps=8",     "run.checkpoint_every=4", "device=cpu",         "log.norms=true",
        "optim.lr=0.01"};
    all.push_back("data.path=" + folder.path_string());
    all.push_back("run.dir=" + (folder / name).string());
    all.insert(all.end(), more.begin(), more.end());
    return plan_run(all);
  }
  std::vector<nlohmann::json> records(const std::string& name) const {
    std::ifstream file(metrics_path(folder / name));
    std::vector<nlohmann::json> all;
    for (std::string line; std::getline(file, line);) all.push_back(nlohmann::json::parse(line));
    return all;
  }

  struct Folder : TemporaryFolder {
    std::string path_string() const { return path().string(); }
  } folder;
};

TEST_F(ReviewRuns, TrainByDomain) {
  const std::vector<std::string> settings = {"clip.rule=min", "clip.micro_batch=4",
                                             "clip.group=domain", "clip.scope=domain"};
  const RunPlan first = plan(settings, "run");
  Trainer trainer(first.config, first.from);
  ASSERT_EQ(trainer.run(), Outcome::finished);
  const auto all = records("run");
  const nlohmann::json& step = all.front();
  const Integers domains = step["domains"];
  ASSERT_GE(domains.size(), 4u);
  const std::vector<double> norms = step["norms"], coefficients = step["coefficients"];
  // All of a domain end with its smallest norm.
  std::map<int64_t, double> smallest;
  for (size_t j = 0; j < norms.size(); ++j) {
    const auto [at, first_of_it] = smallest.try_emplace(domains[j], norms[j]);
    at->second = std::min(at->second, norms[j]);
  }
  EXPECT_EQ(smallest.size(), 2u);
  for (size_t j = 0; j < norms.size(); ++j)
    EXPECT_NEAR(coefficients[j] * norms[j], smallest[domains[j]], 1e-6 * smallest[domains[j]]);
  const nlohmann::json& evaluation = all.back();
  ASSERT_EQ(evaluation["kind"], "eval");
  const double books = evaluation["domains"]["books"], toys = evaluation["domains"]["toys"];
  EXPECT_NEAR((books + toys) / 2, evaluation["top1"].get<double>(), 1e-12);  // ten of each
}

TEST_F(ReviewRuns, ResumeIsExact) {
  const std::vector<std::string> settings = {"clip.rule=min", "clip.micro_batch=4",
                                             "clip.group=domain", "clip.scope=domain",
                                             "data.workers=2"};
  const RunPlan whole = plan(settings, "run");
  Trainer trainer(whole.config, whole.from);
  ASSERT_EQ(trainer.run(), Outcome::finished);
  ASSERT_TRUE(std::filesystem::remove(checkpoint_path(folder / "run", 8)));
  std::vector<std::string> again = settings;
  again.emplace_back("run.resume=true");
  const RunPlan rest = plan(again, "run");
  Trainer resumed(rest.config, rest.from);
  ASSERT_EQ(resumed.run(), Outcome::finished);
  for (size_t i = 0; i < trainer.parameters().size(); ++i) {
    EXPECT_EQ(trainer.parameters()[i]->value.to_vector<float>(),
              resumed.parameters()[i]->value.to_vector<float>());
  }
}

TEST_F(ReviewRuns, OtherWordPiecesAreRefused) {
  const std::string weights = (folder / "w").string();
  Trainer trainer(plan({"train.steps=1", "run.save=" + weights}, "run").config);
  ASSERT_EQ(trainer.run(), Outcome::finished);
  int runs = 0;
  const auto starts = [&](const std::string& more) {
    Trainer(plan({"init.from=" + weights, more}, fmt::format("other{}", ++runs)).config);
  };
  EXPECT_NO_THROW(starts("init.new_head=false"));
  for (int i = 0; i < 40; ++i) {  // as many pieces, but other ones
    std::ofstream(folder / "toys.task.train", std::ios::app) << "1\tbrilliant, brilliant\n";
  }
  for (const char* head : {"init.new_head=false", "init.new_head=true"}) {
    expect_error([&] { starts(head); }, {weights, "word pieces are not those of the data"});
  }
  const Config config = plan({}, "third").config;
  const auto dataset = open_data(config, Split::test, false);
  const auto model = make_model(config, notes_on(*dataset));
  expect_error([&] { load_model(*model, weights, *dataset); }, {weights, "word pieces"});
  const RunPlan again = plan({"run.resume=true"}, "run");
  expect_error([&] { Trainer(again.config, again.from); }, {"checkpoint", "word pieces"});
}

TEST_F(ReviewRuns, WhatDoesNotFitIsRefused) {
  const auto opens = [&](std::vector<std::string> more) {
    return [this, more = std::move(more)] { Trainer trainer(plan(more, "other").config); };
  };
  expect_error(opens({"clip.group=domain", "data.domains=[\"toys\"]"}),
               {"clip.group", "several domains", "reviews"});
  expect_error(opens({"model.name=vit"}), {"model.name", "vit does not read texts", "reviews"});
  expect_error(opens({"data.name=shapes"}), {"model.name", "text reads texts", "shapes has none"});
}

}  // namespace
}  // namespace minnow
