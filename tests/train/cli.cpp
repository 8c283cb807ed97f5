#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/paths.h"
#include "tests/quick.h"
#include "tests/temporary_folder.h"
#include "tests/train/program.h"
#include "train/config_keys.h"

namespace minnow {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using test::Ended;
using test::run_minnow;
using test::tiny;

#define EXPECT_HAS(text, part) EXPECT_NE((text).find(part), std::string::npos) << (text)

std::vector<std::string> train(std::vector<std::string> more) {
  std::vector<std::string> all = tiny(std::move(more));
  all.insert(all.begin(), "train");
  return all;
}

Json last_eval(const fs::path& run) {
  std::ifstream file(run / "metrics.jsonl");
  Json last;
  for (std::string line; std::getline(file, line);) {
    Json record = Json::parse(line);
    if (record["kind"] == "eval") last = std::move(record);
  }
  return last;
}

int64_t count_lines(const fs::path& path) {
  std::ifstream file(path);
  int64_t count = 0;
  for (std::string line; std::getline(file, line);) ++count;
  return count;
}

TEST(Cli, VersionHelpInfo) {
  const TemporaryFolder folder;
  const Ended version = run_minnow(folder.path(), {"--version"});
  EXPECT_EQ(version.status, 0);
  EXPECT_HAS(version.out, "minnow ");
  for (const auto& arguments : {std::vector<std::string>{"train", "--help"}, {"help", "train"}}) {
    const Ended help = run_minnow(folder.path(), arguments);
    EXPECT_EQ(help.status, 0);
    for (const Key& key : config_keys()) EXPECT_HAS(help.out, "  " + key.name + " = ");
  }
  for (const char* name : {"train", "eval", "predict", "demo", "info", "help"}) {
    EXPECT_HAS(run_minnow(folder.path(), {"help"}).out, name);
  }
  const Ended info = run_minnow(folder.path(), {"info"});
  EXPECT_EQ(info.status, 0);
  for (const char* part : {"oneDNN", "CUDA", "GFLOP/s", "GB/s", "tau", "threads"})
    EXPECT_HAS(info.out, part);
}

TEST(Cli, WrongCommandLines) {
  const TemporaryFolder folder;
  for (const auto& arguments :
       {std::vector<std::string>{}, {"fly"}, {"eval"}, {"train", "--fast"}, {"help", "fly"}}) {
    const Ended ended = run_minnow(folder.path(), arguments);
    EXPECT_EQ(ended.status, 2);
    EXPECT_TRUE(ended.err.starts_with("minnow: ")) << ended.err;
    EXPECT_EQ(std::count(ended.err.begin(), ended.err.end(), '\n'), 1) << ended.err;
    EXPECT_EQ(ended.out, "");
  }
}

TEST(Cli, RunFolderHoldsWhatItShould) {
  const TemporaryFolder folder;
  for (const char* run : {"runs/shapes-mlp-1", "runs/shapes-mlp-2"}) {
    const Ended ended =
        run_minnow(folder.path(), train({"train.epochs=1", "run.save=w.safetensors"}));
    ASSERT_EQ(ended.status, 0) << ended.err;
    EXPECT_HAS(ended.out, run);
    EXPECT_HAS(ended.err, "top-1");
    EXPECT_TRUE(fs::exists(folder / run / "config.toml"));
    EXPECT_TRUE(fs::exists(folder / run / "checkpoints/step-00000003.safetensors"));
    EXPECT_EQ(count_lines(folder / run / "metrics.jsonl"), 4);  // three steps, one evaluation
  }
  EXPECT_TRUE(fs::exists(folder / "w.safetensors"));
}

TEST(Cli, ThreadsAreThoseAskedForOrOfTheEnvironment) {
  const TemporaryFolder folder;
  const auto printed = [&](const std::vector<std::string>& more) {
    std::vector<std::string> all = {"train.steps=1", "train.eval_every=0", "device=cpu"};
    all.insert(all.end(), more.begin(), more.end());
    const Ended ended = run_minnow(folder.path(), train(all));
    EXPECT_EQ(ended.status, 0);
    return ended.err;
  };
  const char* const before = std::getenv("OMP_NUM_THREADS");
  const std::string kept = before == nullptr ? "" : before;
  setenv("OMP_NUM_THREADS", "3", 1);
  EXPECT_HAS(printed({"run.dir=a"}), "device: cpu (3 threads)");
  EXPECT_HAS(printed({"run.dir=b", "threads=1"}), "device: cpu (1 thread)");
  unsetenv("OMP_NUM_THREADS");
  if (before != nullptr) setenv("OMP_NUM_THREADS", kept.c_str(), 1);
}

TEST(Cli, EvalRepeatsTheLastEvaluation) {
  const TemporaryFolder folder;
  const Ended trained =
      run_minnow(folder.path(), train({"train.epochs=2", "run.dir=r", "run.save=w.safetensors"}));
  ASSERT_EQ(trained.status, 0) << trained.err;
  const Json expected = last_eval(folder / "r");
  for (const char* source : {"r", "r/checkpoints/step-00000006.safetensors", "w.safetensors"}) {
    const Ended ended = run_minnow(folder.path(), {"eval", source, "--json"});
    ASSERT_EQ(ended.status, 0) << ended.err;
    const Json found = Json::parse(ended.out);
    for (const char* key : {"loss", "top1", "top5"})
      EXPECT_EQ(found[key], expected[key]) << source << " " << key;
    EXPECT_EQ(found["examples"], 40);
  }
  const Ended text = run_minnow(folder.path(), {"eval", "w.safetensors", "data.test_size=10"});
  EXPECT_HAS(text.out, "top-1");
  EXPECT_HAS(text.out, "on 10 test pictures of shapes");
}

TEST(Cli, EvalTakesTheAveragesOrTheWeightsThemselves) {
  const TemporaryFolder folder;
  const Ended trained = run_minnow(
      folder.path(), train({"train.epochs=2", "train.ema=0.9", "run.dir=r", "run.save=w"}));
  ASSERT_EQ(trained.status, 0) << trained.err;
  EXPECT_HAS(trained.err, "averaged weights");
  const Json expected = last_eval(folder / "r");
  EXPECT_EQ(expected["averaged"], true);
  const auto loss = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"eval", "--json"});
    const Ended ended = run_minnow(folder.path(), arguments);
    EXPECT_EQ(ended.status, 0) << ended.err;
    return Json::parse(ended.out)["loss"];
  };
  EXPECT_EQ(loss({"r"}), expected["loss"]);
  EXPECT_EQ(loss({"w"}), expected["loss"]);
  const Ended plain = run_minnow(folder.path(), train({"train.epochs=2", "run.dir=p"}));
  ASSERT_EQ(plain.status, 0) << plain.err;
  EXPECT_EQ(loss({"r", "--raw"}), last_eval(folder / "p")["loss"]);
  EXPECT_NE(loss({"r"}), loss({"r", "--raw"}));
  const Ended refused = run_minnow(folder.path(), {"eval", "w", "--raw"});
  EXPECT_EQ(refused.status, 2);
  EXPECT_HAS(refused.err, "w: holds one set of weights");
}

TEST(Cli, ResumeExtendsARun) {
  const TemporaryFolder folder;
  ASSERT_EQ(run_minnow(folder.path(), train({"train.epochs=1", "run.dir=r"})).status, 0);
  const Ended ended = run_minnow(folder.path(), {"train", "run.resume=r", "train.epochs=2"});
  ASSERT_EQ(ended.status, 0) << ended.err;
  EXPECT_EQ(count_lines(folder / "r/metrics.jsonl"), 8);
  EXPECT_EQ(last_eval(folder / "r")["epoch"], 2);
}

TEST(Cli, ABranchGoesOnElsewhere) {
  const TemporaryFolder folder;
  ASSERT_EQ(run_minnow(folder.path(), train({"train.epochs=2", "run.dir=r"})).status, 0);
  const std::string older = "run.resume=r/checkpoints/step-00000003.safetensors";
  const Ended refused = run_minnow(folder.path(), {"train", older});
  EXPECT_EQ(refused.status, 2);
  EXPECT_HAS(refused.err, "newest");
  const Ended branched = run_minnow(folder.path(), {"train", older, "run.dir=s"});
  ASSERT_EQ(branched.status, 0) << branched.err;
  EXPECT_EQ(count_lines(folder / "s/metrics.jsonl"), 4);
  EXPECT_EQ(count_lines(folder / "r/metrics.jsonl"), 8);
}

/// Waits until the run has taken a few steps.
void wait_for_steps(const fs::path& run, int64_t steps) {
  for (int i = 0; i < 3000 && count_lines(run / "metrics.jsonl") < steps; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

class Interrupt : public testing::TestWithParam<int> {};

TEST_P(Interrupt, ThenResumeEqualsUninterrupted) {
  const TemporaryFolder folder;
  // So many steps that the signal meets a run at work, whatever the machine.
  const int64_t steps = test::quick() ? 300 : 1000;
  const std::vector<std::string> settings = train(
      {fmt::format("train.steps={}", steps), "train.eval_every=0", "optim.lr=0.01", "clip.rule=min",
       "clip.micro_batch=8", "data.workers=0", "threads=1", "run.checkpoint_every=100"});
  const auto with = [&](const std::string& more) {
    auto all = settings;
    all.push_back(more);
    return all;
  };
  const test::Program program(folder.path(), with("run.dir=a"));
  wait_for_steps(folder / "a", 5);
  kill(program.pid(), GetParam());
  const Ended stopped = program.wait();
  ASSERT_EQ(stopped.status, 130) << stopped.err;
  EXPECT_HAS(stopped.err, "minnow train run.resume=a");
  EXPECT_LT(count_lines(folder / "a/metrics.jsonl"), steps);
  ASSERT_EQ(run_minnow(folder.path(), {"train", "run.resume=a", "run.save=a.safetensors"}).status,
            0);
  auto whole = with("run.dir=b");
  whole.push_back("run.save=b.safetensors");
  ASSERT_EQ(run_minnow(folder.path(), whole).status, 0);
  EXPECT_EQ(count_lines(folder / "a/metrics.jsonl"), steps);
  const auto a = load_safetensors(folder / "a.safetensors"),
             b = load_safetensors(folder / "b.safetensors");
  ASSERT_EQ(a.tensors.size(), b.tensors.size());
  for (const auto& [name, tensor] : a.tensors) {
    EXPECT_EQ(tensor.to_vector<float>(), b.find(name)->to_vector<float>()) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Cli, Interrupt, testing::Values(SIGINT, SIGTERM, SIGHUP));

TEST(Cli, WhatIsStartedToOutliveItsTerminalDoes) {
  const TemporaryFolder folder;
  void (*const before)(int) = std::signal(SIGHUP, SIG_IGN);  // as nohup does
  const test::Program program(folder.path(), train({"train.steps=300", "train.eval_every=0",
                                                    "run.checkpoint_every=300", "run.dir=a"}));
  std::signal(SIGHUP, before);
  wait_for_steps(folder / "a", 3);
  kill(program.pid(), SIGHUP);
  EXPECT_EQ(program.wait().status, 0);
  EXPECT_EQ(count_lines(folder / "a/metrics.jsonl"), 300);
}

/// The exit status of a command of a shell in `folder`: `minnow` with the arguments, and `rest`.
int shell(const fs::path& folder, const std::vector<std::string>& arguments,
          const std::string& rest) {
  std::string command =
      fmt::format("cd '{}'; {{ '{}'", folder.string(), test::program_path().string());
  for (const std::string& argument : arguments) command += " '" + argument + "'";
  command += "; echo $? >status; } " + rest;
  EXPECT_EQ(std::system(command.c_str()), 0);
  return std::stoi(read_text_file(folder / "status"));
}

TEST(Cli, ARunOutlivesWhoReadsItsOutput) {
  const TemporaryFolder folder;
  EXPECT_EQ(shell(folder.path(), train({"train.epochs=20", "run.dir=a"}),
                  "2>&1 >/dev/null | head -c 1 >/dev/null"),
            0);
  EXPECT_TRUE(fs::exists(folder / "a/checkpoints/step-00000060.safetensors"));
  EXPECT_EQ(shell(folder.path(), train({"train.epochs=1", "run.dir=b", "run.resume=true"}),
                  "2>/dev/full"),
            0);
  EXPECT_EQ(shell(folder.path(), train({"optim.lrr=1", "run.dir=c"}), "2>/dev/full"), 2);
}

/// A signal handler on a thread that is inside one of oneDNN's products corrupts the heap, so every
/// thread but the one that waits for signals must block them.
TEST(Cli, NoSignalInterruptsAThreadThatComputes) {
  const TemporaryFolder folder;
  const test::Program program(folder.path(), train({"train.steps=100000", "train.eval_every=0",
                                                    "data.workers=2", "threads=2", "run.dir=a"}));
  wait_for_steps(folder / "a", 3);
  constexpr uint64_t both = (uint64_t{1} << (SIGINT - 1)) | (uint64_t{1} << (SIGTERM - 1));
  int blocking = 0, open = 0;
  for (const auto& task : fs::directory_iterator(fmt::format("/proc/{}/task", program.pid()))) {
    const std::string status = read_text_file(task.path() / "status"), key = "SigBlk:";
    const size_t at = status.find(key);
    ASSERT_NE(at, std::string::npos);
    const uint64_t blocked = std::stoull(status.substr(at + key.size(), 24), nullptr, 16);
    ++((blocked & both) == both ? blocking : open);
  }
  EXPECT_LE(open, 1);  // the one that waits for them, while it does
  EXPECT_GE(blocking, 3);
  kill(program.pid(), SIGTERM);
  EXPECT_EQ(program.wait().status, 130);
}

TEST(Cli, DemoShowsBothRuns) {
  const TemporaryFolder folder;
  auto arguments = tiny({"train.epochs=1"});
  arguments.insert(arguments.begin(), "demo");
  const Ended ended = run_minnow(folder.path(), arguments);
  ASSERT_EQ(ended.status, 0) << ended.err;
  for (const char* part :
       {"with a dragger", "without a dragger", "plain", "clipped", "ms per step", "Next:"}) {
    EXPECT_HAS(ended.out, part);
  }
  EXPECT_TRUE(fs::exists(folder / "runs/demo-1/plain/metrics.jsonl"));
  EXPECT_TRUE(fs::exists(folder / "runs/demo-1/clipped/metrics.jsonl"));
}

}  // namespace
}  // namespace minnow
