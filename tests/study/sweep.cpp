#include "train/study/sweep.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "engine/files.h"
#include "tests/expect_error.h"
#include "tests/file_size_limit.h"
#include "tests/temporary_folder.h"
#include "tests/train/program.h"
#include "train/metrics.h"

namespace minnow::study {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using test::Ended;
using test::run_minnow;
using Words = std::vector<std::string>;

#define EXPECT_HAS(text, part) EXPECT_NE((text).find(part), std::string::npos) << (text)

/// Without pages and events, which nobody reads here.
Words small(Words more = {}) {
  Words all =
      test::tiny({"train.steps=4", "threads=1", "log.report=false", "log.tensorboard=false"});
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

Words sweep(const Words& options, Words settings = {}) {
  Words all{"study", "sweep"};
  all.insert(all.end(), options.begin(), options.end());
  settings = small(std::move(settings));
  all.insert(all.end(), settings.begin(), settings.end());
  return all;
}

std::vector<Json> records(const fs::path& run) {
  std::vector<Json> all;
  const fs::path path = run / "metrics.jsonl";
  for_each_record(read_text_file(path), path.string(),
                  [&](std::string_view, const Json& record) { all.push_back(record); });
  return all;
}

/// The rows of runs.csv by the name of the run, each split at its commas.
std::map<std::string, Words> rows_of(const fs::path& csv) {
  std::istringstream file(read_text_file(csv));
  std::map<std::string, Words> rows;
  std::string line;
  std::getline(file, line);
  EXPECT_EQ(line, "variant,use,lr,seed,state,seconds,top1,top5");
  while (std::getline(file, line)) {
    Words row;
    std::istringstream cells(line);
    for (std::string cell; std::getline(cells, cell, ',');) row.push_back(cell);
    rows[(row[1] == "tuning" ? "tuning_" : "") + row[0] + "_lr" + row[2] + "_seed" + row[3]] = row;
  }
  return rows;
}

/// When the records of the run were written last.
fs::file_time_type written(const fs::path& run) {
  return fs::last_write_time(run / "metrics.jsonl");
}

TEST(Sweep, TablesSayWhatTheRunsRecorded) {
  const TemporaryFolder folder;
  const Ended ended = run_minnow(
      folder.path(), sweep({"--micro-batches", "4,32", "--lrs", "0.01,0.03", "--seeds", "2"}));
  ASSERT_EQ(ended.status, 0) << ended.err;
  EXPECT_HAS(ended.out, "Table 2: b = B is plain training");
  const fs::path out = folder / "studies" / "sweep";
  const auto rows = rows_of(out / "runs.csv");
  EXPECT_EQ(rows.size(), 3 * (2 + 2));  // variants; rates, seeds
  for (const auto& [name, row] : rows) {
    const Json last = records(out / "runs" / name).back();
    EXPECT_EQ(last.at("kind"), "eval");
    EXPECT_EQ(std::stod(row[6]), last.at("top1").get<double>()) << name;
    EXPECT_EQ(std::stod(row[7]), last.at("top5").get<double>()) << name;
    EXPECT_FALSE(fs::exists(out / "runs" / name / "checkpoints"));
    // One batch is a micro-batch: nothing is rescaled.
    if (row[0] == "b32") {
      const std::string plain = std::string(name).replace(name.find("b32"), 3, "plain");
      EXPECT_EQ(row[6], rows.at(plain).at(6)) << name;
    }
  }
  const std::string page = read_text_file(out / "report.html");
  for (const char* part : {"held out from those runs alone", "n = 2", "chosen", "<svg",
                           "minnow study sweep", "12 runs"}) {
    EXPECT_HAS(page, part);
  }
  // More of the same keeps what there is.
  const auto before = written(out / "runs" / "tuning_b4_lr0.01_seed0");
  const Ended more = run_minnow(folder.path(), sweep({"--micro-batches", "4,32", "--lrs",
                                                      "0.01,0.03", "--seeds", "3", "--jobs", "2"}));
  ASSERT_EQ(more.status, 0) << more.err;
  EXPECT_EQ(rows_of(out / "runs.csv").size(), 3 * (2 + 3));
  EXPECT_EQ(before, written(out / "runs" / "tuning_b4_lr0.01_seed0"));
}

TEST(Sweep, ProcessesOfTheirOwnGiveTheSame) {
  const TemporaryFolder folder;
  const Words options{"--micro-batches", "4", "--lrs", "0.01,0.03", "--seeds", "1", "-o"};
  Words one = options, three = options;
  one.push_back("one");
  three.insert(three.end(), {"three", "--jobs", "3"});
  ASSERT_EQ(run_minnow(folder.path(), sweep(one)).status, 0);
  const Ended ended = run_minnow(folder.path(), sweep(three));
  ASSERT_EQ(ended.status, 0) << ended.err;
  const auto a = rows_of(folder / "one" / "runs.csv"), b = rows_of(folder / "three" / "runs.csv");
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, row] : a) EXPECT_EQ(row[6], b.at(name).at(6)) << name;
  EXPECT_TRUE(fs::exists(folder / "three" / "runs" / "plain_lr0.01_seed0" / "log.txt") ||
              fs::exists(folder / "three" / "runs" / "plain_lr0.03_seed0" / "log.txt"));
}

/// Interrupts a sweep once `ready`, and lets the same command bring it to its end.
void interrupt_and_go_on(const Words& options, const std::function<bool(const fs::path&)>& ready) {
  const TemporaryFolder folder;
  const Words words = sweep(options, {"train.steps=300", "run.checkpoint_every=30"});
  const fs::path runs = folder / "studies" / "sweep" / "runs";
  test::Program program(folder.path(), words);
  for (int i = 0; i < 6000 && !ready(runs); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  kill(program.pid(), SIGINT);
  const Ended stopped = program.wait();
  ASSERT_EQ(stopped.status, 130) << stopped.err;
  EXPECT_HAS(stopped.err, "the same command goes on");
  EXPECT_HAS(read_text_file(runs.parent_path() / "report.html"), "have been interrupted");
  const auto first = written(runs / "plain_lr0.01_seed0");

  const Ended ended = run_minnow(folder.path(), words);
  ASSERT_EQ(ended.status, 0) << ended.err;
  EXPECT_EQ(written(runs / "plain_lr0.01_seed0"), first);
  for (const auto& run : fs::directory_iterator(runs)) {
    int64_t steps = 0;
    for (const Json& record : records(run.path())) {
      if (record.at("kind") != "step") continue;
      EXPECT_EQ(record.at("step"), ++steps) << run.path();
    }
    EXPECT_EQ(steps, 300) << run.path();
  }
}

bool has_finished(const fs::path& run) {
  return fs::exists(run / "outcome.json");
}
bool has_begun(const fs::path& run) {
  return fs::exists(run / "metrics.jsonl");
}

TEST(Sweep, AnInterruptedOneGoesOn) {
  interrupt_and_go_on(
      {"--micro-batches", "1", "--lrs", "0.01", "--seeds", "3"}, [](const fs::path& runs) {
        return has_finished(runs / "plain_lr0.01_seed0") && has_begun(runs / "plain_lr0.01_seed1");
      });
}

TEST(Sweep, InterruptedProcessesGoOn) {
  interrupt_and_go_on({"--micro-batches", "1", "--lrs", "0.01", "--seeds", "3", "--jobs", "2"},
                      [](const fs::path& runs) {
                        return has_finished(runs / "plain_lr0.01_seed0") &&
                               has_begun(runs / "b1_lr0.01_seed0");
                      });
}

TEST(Sweep, ARunThatDivergedIsShown) {
  for (const char* jobs : {"1", "2"}) {
    const TemporaryFolder folder;
    const Ended ended = run_minnow(
        folder.path(),
        sweep({"--micro-batches", "4", "--lrs", "0.01,1e30", "--seeds", "2", "--jobs", jobs},
              {"optim.name=sgd"}));
    ASSERT_EQ(ended.status, 0) << ended.err;
    const fs::path out = folder / "studies" / "sweep";
    const auto rows = rows_of(out / "runs.csv");
    const Words& row = rows.at("tuning_plain_lr1e+30_seed0");
    EXPECT_HAS(row[4], "diverged after step ");
    EXPECT_EQ(row[6], "0");
    EXPECT_TRUE(rows.contains("plain_lr0.01_seed1"));
    EXPECT_HAS(read_text_file(out / "report.html"), "1 of 1 diverged");
    const auto before = written(out / "runs" / "tuning_plain_lr1e+30_seed0");
    ASSERT_EQ(run_minnow(folder.path(),
                         sweep({"--micro-batches", "4", "--lrs", "0.01,1e30", "--seeds", "2"},
                               {"optim.name=sgd"}))
                  .status,
              0);
    EXPECT_EQ(written(out / "runs" / "tuning_plain_lr1e+30_seed0"), before);
  }
}

TEST(Sweep, OneSeedHasNoInterval) {
  const TemporaryFolder folder;
  const Ended ended =
      run_minnow(folder.path(), sweep({"--micro-batches", "1", "--lrs", "0.01", "--seeds", "1"}));
  ASSERT_EQ(ended.status, 0) << ended.err;
  EXPECT_HAS(ended.out, "unclear  Tables 2 and 4");
  const std::string page = read_text_file(folder / "studies" / "sweep" / "report.html");
  EXPECT_HAS(page, "one run: no interval");
  EXPECT_HAS(page, "one seed: no test");
  EXPECT_HAS(page, "was not tuned");
  EXPECT_EQ(page.find("+-"), std::string::npos);
}

TEST(Sweep, WrongInputIsNamed) {
  const TemporaryFolder folder;
  fs::create_directories(folder / "mine");
  write_file_atomically(folder / "mine" / "notes.txt", "mine");
  const Words short_options{"--micro-batches", "1", "--lrs", "0.01", "--seeds", "1"};
  ASSERT_EQ(run_minnow(folder.path(), sweep(short_options)).status, 0);
  const struct {
    Words words;
    const char* part;
  } cases[] = {
      {sweep({"--micro-batches", "64", "-o", "x"}), "64 is larger than train.batch = 32"},
      {sweep({"--micro-batches", "4,1", "-o", "x"}), "must ascend"},
      {sweep({"--lrs", "0", "-o", "x"}), "--lrs: must be positive"},
      {sweep({"--seeds", "0", "-o", "x"}), "--seeds: must be 1 or more"},
      {sweep({"--jobs", "0", "-o", "x"}), "--jobs: must be 1 or more"},
      {sweep({"--validation", "1", "-o", "x"}), "--validation: must be"},
      {sweep({"-o", "x"}, {"optim.rate=1"}), "there is no key optim.rate"},
      {sweep({"-o", "x"}, {"run.dir=there"}), "run.dir: the study makes"},
      {sweep({"-o", "x"}, {"train.eval_every=0"}), "train.eval_every"},
      {sweep({"-o", "x"}, {"data.validation=0.1"}), "data.validation: the study holds out"},
      {sweep({"-o", "x"}, {"clip.rule=fixed"}), "clip.rule: the sweep sets it"},
      {sweep({"-o", "mine"}), "holds something else"},
      {sweep(short_options, {"train.steps=5"}),
       "holds a run of train.steps = 4, and this study has 5"},
  };
  for (const auto& [words, part] : cases) {
    const Ended ended = run_minnow(folder.path(), words);
    EXPECT_EQ(ended.status, 2) << part;
    EXPECT_TRUE(ended.err.starts_with("minnow: ")) << ended.err;
    EXPECT_HAS(ended.err, part);
  }
}

TEST(Sweep, AFullDiskIsNoDivergence) {
  const TemporaryFolder folder;
  SweepOptions options{.micro_batches = {4}};
  options.budget.lrs = {0.01};
  options.budget.seeds = 2;
  {
    const test::FileSizeLimit limit(20000);
    EXPECT_THROW(study_sweep(small(), options, folder.path()), RunError);
  }
  const auto sweep = study_sweep(small(), options, folder.path());
  ASSERT_TRUE(sweep.has_value());
  EXPECT_EQ(sweep->plain.best.diverged(), 0);
}

/// A variant whose runs ended with these accuracies.
Compared with(const std::vector<double>& top1) {
  Compared compared;
  for (const double value : top1) {
    compared.best.runs.push_back({});
    compared.best.results.push_back({.history = History(32)});
    compared.best.results.back().history.evaluation = {{"top1", value}};
  }
  return compared;
}

TEST(SweepAdvice, SaysWhatTheTestSays) {
  Sweep sweep;
  sweep.micro_batches = {1, 4, 16};
  sweep.plain = with({0.50, 0.52, 0.51, 0.49});
  const Compared better = with({0.60, 0.63, 0.61, 0.59}), alike = with({0.52, 0.50, 0.49, 0.51}),
                 worse = with({0.30, 0.33, 0.31, 0.29}), best = with({0.62, 0.64, 0.62, 0.61});
  sweep.clipped = {better, alike, best};
  Advice advice = advise(sweep);
  EXPECT_EQ(advice.better, Verdict::holds);
  EXPECT_EQ(advice.micro_batch, 16);
  EXPECT_HAS(advice.text, "b = 16: top-1 +11.75 +- 0.80 points");

  sweep.clipped = {worse, alike, alike};
  advice = advise(sweep);
  EXPECT_EQ(advice.better, Verdict::unclear);
  EXPECT_FALSE(advice.micro_batch.has_value());
  EXPECT_HAS(advice.text, "no difference");
  EXPECT_HAS(advice.text, "1 of them worse");

  sweep.clipped = {worse, worse, worse};
  EXPECT_EQ(advise(sweep).better, Verdict::fails);

  sweep.plain = with({0.5});
  sweep.clipped = {with({0.6}), with({0.6}), with({0.6})};
  EXPECT_EQ(advise(sweep).better, Verdict::unclear);
  EXPECT_HAS(advise(sweep).text, "one seed");
}

}  // namespace
}  // namespace minnow::study
