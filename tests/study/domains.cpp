#include "train/study/domains.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "engine/files.h"
#include "tests/temporary_folder.h"
#include "tests/train/program.h"
#include "train/metrics.h"

namespace minnow::study {
namespace {

namespace fs = std::filesystem;
using test::Ended;
using test::run_minnow;
using Words = std::vector<std::string>;

#define EXPECT_HAS(text, part) EXPECT_NE((text).find(part), std::string::npos) << (text)

std::string reviews(int count, const std::string& noun) {
  std::string all;
  for (int i = 0; i < count; ++i) {
    all += i % 2 == 0 ? "1\ta good " : "0\ta bad ";
    all += noun + " number " + std::to_string(i) + "\n";
  }
  return all;
}

/// A folder with three domains of 60 training and 10 test reviews.
class DomainsStudy : public testing::Test {
 protected:
  DomainsStudy() {
    for (const char* name : {"books", "dvd", "toys"}) {
      const std::string base = (folder / name).string();
      write_file_atomically(base + ".task.train", reviews(60, name));
      write_file_atomically(base + ".task.test", reviews(10, name));
    }
  }
  Words settings(Words more = {}) const {
    Words all{"data.name=reviews",  "data.path=" + folder.path().string(),
              "data.vocabulary=60", "data.max_tokens=8",
              "model.name=text",    "model.dim=8",
              "model.depth=1",      "model.heads=2",
              "train.batch=16",     "train.steps=6",
              "threads=1",          "clip.tau=32",
              "log.report=false",   "log.tensorboard=false",
              "optim.lr=0.01",      "device=" + std::string(test::test_device().name())};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  Ended study(Words options, Words more = {}) const {
    Words all{"study", "domains", "--lrs", "0.01"};
    all.insert(all.end(), options.begin(), options.end());
    more = settings(std::move(more));
    all.insert(all.end(), more.begin(), more.end());
    return run_minnow(folder.path(), all);
  }

  TemporaryFolder folder;
};

TEST_F(DomainsStudy, MixturesAndVariants) {
  DomainsOptions options{.micro_batch = 4, .imbalance = 4};
  options.budget.lrs = {0.01};
  options.budget.seeds = 1;
  const auto mixtures = study_domains(settings(), options, folder / "out");
  ASSERT_TRUE(mixtures.has_value());
  ASSERT_EQ(mixtures->size(), 3);
  const Mixture &unbalanced = (*mixtures)[0], &balanced = (*mixtures)[1], &alone = (*mixtures)[2];
  EXPECT_EQ(unbalanced.domains, (Words{"books", "dvd", "toys"}));
  EXPECT_EQ(unbalanced.examples, (std::vector<int64_t>{60, 30, 15}));
  EXPECT_EQ(balanced.examples, (std::vector<int64_t>{35, 35, 35}));
  EXPECT_EQ(alone.domains, Words{"books"});
  EXPECT_EQ(alone.examples, std::vector<int64_t>{60});
  EXPECT_EQ(alone.find(kScope), nullptr);
  const Config& scope = unbalanced.find(kScope)->variant.config;
  EXPECT_EQ(scope.clip.scope, "domain");
  EXPECT_EQ(scope.clip.group, "domain");
  EXPECT_EQ(unbalanced.find(kOneDomain)->variant.config.clip.scope, "global");
  EXPECT_EQ(unbalanced.find(kMixed)->variant.config.clip.group, "runs");
  EXPECT_EQ(unbalanced.find(kPlain)->variant.config.clip.rule, "none");
  // The whole of a domain of equal test sets is their mean.
  const Compared& plain = *unbalanced.find(kPlain);
  EXPECT_NEAR(accuracies(plain, unbalanced.domains).front(),
              plain.best.values(metrics_of(scope).front()).front(), 1e-12);
}

TEST_F(DomainsStudy, TablesSayWhatTheRunsRecorded) {
  const Ended ended = study({"--micro-batch", "4", "--imbalance", "4", "--seeds", "2"});
  ASSERT_EQ(ended.status, 0) << ended.err;
  for (const char* claim : {"Table 5", "Table 6", "Remedy"}) EXPECT_HAS(ended.out, claim);
  const fs::path out = folder / "studies" / "domains";
  const std::string csv = read_text_file(out / "domains.csv");
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 1 + 2 * (2 * 4 * 3 + 2));
  const fs::path metrics = out / "runs" / "unbalanced_domain-scope_lr0.01_seed1" / "metrics.jsonl";
  nlohmann::json last;
  for_each_record(read_text_file(metrics), metrics.string(),
                  [&](std::string_view, const nlohmann::json& record) { last = record; });
  for (const auto& [domain, top1] : last.at("domains").items()) {
    const std::string start = "unbalanced,unbalanced_domain-scope," + domain + ",";
    const int examples = domain == "books" ? 60 : domain == "dvd" ? 30 : 15;
    EXPECT_HAS(csv, fmt::format("{}{},1,{}\n", start, examples, top1.get<double>()));
  }
}

TEST_F(DomainsStudy, WrongInputIsNamed) {
  const struct {
    Words options, more;
    const char* part;
  } cases[] = {{{"--micro-batch", "17"}, {}, "--micro-batch: must be from 1 to train.batch = 16"},
               {{"--imbalance", "1"}, {}, "--imbalance: must be above 1"},
               {{"--alone", "cars"}, {}, "there is no domain cars"},
               {{}, {"data.imbalance=3"}, "--imbalance says how"},
               {{}, {"data.domains=[\"toys\"]"}, "needs two or more"},
               {{}, {"data.name=shapes", "model.name=mlp"}, "data.name: the study needs domains"}};
  for (const auto& [options, more, part] : cases) {
    const Ended ended = study(options, more);
    EXPECT_EQ(ended.status, 2) << part;
    EXPECT_HAS(ended.err, part);
  }
}

}  // namespace
}  // namespace minnow::study
