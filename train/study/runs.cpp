#include "train/study/runs.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <list>
#include <nlohmann/json.hpp>
#include <thread>

#include "engine/check.h"
#include "train/checkpoint.h"
#include "train/commands.h"
#include "train/interrupt.h"
#include "train/metrics.h"
#include "train/run_folder.h"
#include "train/study/child.h"
#include "train/trainer.h"

namespace minnow::study {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// In the run's folder, beside what training writes: what was asked for, and what became of it.
constexpr const char* kAsked = "study.toml";
constexpr const char* kOutcome = "outcome.json";
constexpr const char* kLog = "log.txt";

/// `folder`, which then exists.
const fs::path& made(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) throw RunError(fmt::format("{}: {}", folder.string(), error.message()));
  return folder;
}

/// Of `run`, without what may differ from one go to the next.
Config comparable(Config config) {
  config.run = {};
  config.threads = 0;
  config.data.workers = Config{}.data.workers;
  config.data.cache = Config{}.data.cache;
  return config;
}

/// Error where another run of that name lies in the folder.
void check_same(const Run& run, const fs::path& dir) {
  if (!fs::exists(dir / kAsked)) return;
  Config before;
  apply_file(before, dir / kAsked);
  for (const std::string& key : differing_keys(comparable(before), comparable(run.config))) {
    throw Error(
        fmt::format("--out: {} holds a run of {} = {}, and this study has {}; give another folder",
                    dir.string(), key, value_text(before, key), value_text(run.config, key)));
  }
}

/// What outcome.json says; {} where there is none.
Json outcome_of(const fs::path& dir) {
  const fs::path path = dir / kOutcome;
  if (!fs::exists(path)) return Json::object();
  const Json outcome = Json::parse(read_text_file(path), nullptr, false);
  check(outcome.is_object() && outcome.contains("state"),
        "{}: is no record of a study's run; remove its folder to train it again", path.string());
  return outcome;
}

bool has_ended(const fs::path& dir) {
  const std::string state = outcome_of(dir).value("state", "");
  return state == "finished" || state == "diverged";
}

/// Why the run diverged, from its last record; nothing where it did not.
std::optional<std::string> divergence(const fs::path& dir) {
  if (!fs::exists(metrics_path(dir))) return std::nullopt;
  std::optional<std::string> why;
  for_each_record(read_text_file(metrics_path(dir)), metrics_path(dir).string(),
                  [&](std::string_view, const Json& record) {
                    why.reset();
                    if (record.value("kind", "") == "diverged")
                      why = fmt::format("after step {} {}", record.value("step", int64_t{0}),
                                        record.value("why", ""));
                  });
  return why;
}

/// Those of `minnow train` that begin the run or go on with it.
std::vector<std::string> train_arguments(const fs::path& dir) {
  if (!find_checkpoints(dir).empty()) return {"run.resume=" + dir.string()};
  std::vector<std::string> arguments{(dir / kAsked).string(), "run.dir=" + dir.string()};
  // Where a run ended before its first checkpoint, the folder may be taken all the same.
  if (fs::exists(dir / "config.toml")) arguments.emplace_back("run.resume=true");
  return arguments;
}

std::string last_line(const fs::path& path) {
  std::string text = read_text_file(path);
  text.erase(text.find_last_not_of(" \n\r") + 1);
  return text.substr(text.find_last_of("\n\r") + 1);
}

}  // namespace

Runs::Runs(const fs::path& folder, Options options)
    : folder_(folder / "runs"), options_(options), lock_(made(folder_)) {
  check(options_.jobs >= 1, "--jobs: must be 1 or more; got {}", options_.jobs);
  check(lock_.held(), "--out: another process is training in {}", folder_.string());
}

bool Runs::finish(const std::vector<Run>& runs) {
  std::vector<const Run*> open;
  for (const Run& run : runs) {
    check_same(run, folder_ / run.name);
    if (!has_ended(folder_ / run.name)) open.push_back(&run);
  }
  wanted_ = runs.size();
  done_ = wanted_ - open.size();
  for (const Run* run : open) {
    Config config = run->config;
    config.run = {};
    config.run.checkpoint_every = run->config.run.checkpoint_every;
    config.run.keep = 1;
    write_file_atomically(made(folder_ / run->name) / kAsked, to_toml(config));
  }
  if (options_.jobs > 1) return train_apart(open);
  return std::all_of(open.begin(), open.end(), [this](const Run* run) { return train_here(*run); });
}

RunResult Runs::result(const Run& run) const {
  const fs::path dir = folder_ / run.name;
  const Json outcome = outcome_of(dir);
  RunResult result{.diverged = outcome.at("state") == "diverged",
                   .why = outcome.value("why", ""),
                   .history = History(run.config.train.batch),
                   .seconds = outcome.value("seconds", 0.0)};
  result.history.add_file(metrics_path(dir));
  return result;
}

/// Records where the run stands after `seconds` more of training. `failure`: what it said when it
/// ended otherwise than by its last step or an interruption.
void Runs::settle(const Run& run, bool finished, double seconds, const std::string& failure) {
  const fs::path dir = folder_ / run.name;
  const auto why = failure.empty() ? std::nullopt : divergence(dir);
  seconds += outcome_of(dir).value("seconds", 0.0);
  Json outcome{{"state", finished ? "finished" : why ? "diverged" : "open"}, {"seconds", seconds}};
  if (why) outcome["why"] = *why;
  write_file_atomically(dir / kOutcome, outcome.dump() + "\n");
  if (!finished && !why) {
    if (!failure.empty()) throw RunError(fmt::format("{}: {}", dir.string(), failure));
    return;
  }
  if (!options_.keep_checkpoints) {
    std::error_code ignored;
    fs::remove_all(checkpoint_path(dir, 0).parent_path(), ignored);
  }
  fmt::print(stderr, "[{}/{}] {}: {}\n", ++done_, wanted_, run.name,
             why ? "diverged " + *why : fmt::format("finished after {:.0f} s", seconds));
}

bool Runs::train_here(const Run& run) {
  const auto start = Clock::now();
  bool finished = false;
  std::string failure;
  try {
    const RunPlan plan = plan_run(train_arguments(folder_ / run.name));
    finished = Trainer(plan.config, plan.from).run() == Outcome::finished;
  } catch (const RunError& error) {
    failure = error.what();
  }
  settle(run, finished, seconds_since(start), failure);
  return finished || !failure.empty();
}

/// A run in a process of its own.
struct Runs::Going {
  const Run* run;
  Child child;
  Clock::time_point start = Clock::now();
};

Runs::Going Runs::start_apart(const Run& run) const {
  const fs::path dir = folder_ / run.name;
  std::vector<std::string> arguments = train_arguments(dir);
  arguments.insert(arguments.begin(), "train");
  if (run.config.threads == 0) {  // the processors are shared out
    arguments.push_back(
        fmt::format("threads={}", std::max<int64_t>(1, run.config.thread_count() / options_.jobs)));
  }
  return {&run, Child(std::move(arguments), dir / kLog)};
}

bool Runs::train_apart(const std::vector<const Run*>& runs) {
  const InterruptGuard guard;
  std::list<Going> going;
  auto next = runs.begin();
  bool stopped = false;
  while (!going.empty() || (next != runs.end() && !stopped)) {
    while (!stopped && next != runs.end() && std::ssize(going) < options_.jobs)
      going.push_back(start_apart(**next++));
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    stopped = stopped || guard.interrupted();
    for (auto it = going.begin(); it != going.end();) {
      if (stopped) it->child.interrupt();
      const auto status = it->child.ended();
      if (!status) {
        ++it;
        continue;
      }
      // One that had not begun to train ends by the signal itself.
      const bool interrupted = *status == kExitInterrupted || (stopped && *status == 128 + SIGTERM);
      stopped = stopped || interrupted;  // who stops one means all
      settle(*it->run, *status == 0, seconds_since(it->start),
             *status == 0 || interrupted ? ""
                                         : fmt::format("ended with status {}; {}", *status,
                                                       last_line(folder_ / it->run->name / kLog)));
      it = going.erase(it);
    }
  }
  return !stopped;
}

}  // namespace minnow::study
