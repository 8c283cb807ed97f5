#include "train/run_folder.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "engine/files.h"

namespace minnow {
namespace {

namespace fs = std::filesystem;

const std::string config_key = "minnow.config";
const std::string notes_key = "minnow.data";

/// Whether a change of the key would make the rest of a run belong to another run. How fast the
/// data come is free.
bool is_fixed(const std::string& key) {
  if (key == "data.workers" || key == "data.cache" || key == "data.cache_dir") return false;
  return key == "seed" || key == "train.batch" || key == "train.batch_frames" ||
         key == "optim.name" || key == "optim.freeze" || key.starts_with("model.") ||
         key.starts_with("data.");
}

/// The folder of the run that a checkpoint DIR/checkpoints/FILE belongs to.
fs::path run_of(const fs::path& checkpoint) {
  return fs::absolute(checkpoint).lexically_normal().parent_path().parent_path();
}

bool holds_run(const fs::path& dir) {
  return fs::exists(dir / "config.toml") || fs::exists(metrics_path(dir)) ||
         fs::exists(dir / "checkpoints");
}

/// Where to go on from; nothing where `run.resume=true` meets a run that has not begun.
std::optional<fs::path> resume_source(const Config& asked) {
  const std::string& resume = asked.run.resume;
  if (resume.empty()) return std::nullopt;
  if (resume != "true") return find_weights(resume);
  check(!asked.run.dir.empty(), "run.resume: true needs run.dir; or name the run: run.resume=DIR");
  return latest_checkpoint(asked.run.dir);
}

void check_resumed(const Config& before, const Config& now, const std::string& source) {
  for (const std::string& key : differing_keys(before, now)) {
    check(!is_fixed(key), "{}: a resumed run keeps its {} = {}; got {}", source, key,
          value_text(before, key), value_text(now, key));
  }
}

bool in_run_folder(const fs::path& checkpoint) {
  return fs::absolute(checkpoint).lexically_normal().parent_path().filename() == "checkpoints";
}

/// A run goes on in its own folder from its newest checkpoint only: the newer ones would belong to
/// another course.
void check_newest(const fs::path& source) {
  const auto newest = latest_checkpoint(run_of(source), [](const std::string&) {});
  check(!newest || fs::equivalent(*newest, source),
        "{}: is not the newest checkpoint of its run; give another run.dir to go on from there",
        source.string());
}

RunPlan plan_resumed(std::span<const std::string> arguments, const Config& asked,
                     const fs::path& source) {
  RunPlan plan;
  plan.from = load_checkpoint(source);
  apply_toml(plan.config, plan.from->config, source.string());
  const Config before = plan.config;
  apply_arguments(plan.config, arguments);
  check_resumed(before, plan.config, source.string());
  const bool at_home = in_run_folder(source);
  check(at_home || !asked.run.dir.empty(),
        "run.resume: {} lies in no run folder; give the run.dir to go on in", source.string());
  if (asked.run.dir.empty()) plan.config.run.dir = run_of(source).string();
  std::error_code ignored;
  if (at_home && fs::equivalent(plan.config.run.dir, run_of(source), ignored)) {
    check_newest(source);
  } else {
    check(!holds_run(plan.config.run.dir), "run.dir: {} holds another run", plan.config.run.dir);
  }
  return plan;
}

void check_save_path(const std::string& save) {
  if (save.empty()) return;
  const fs::path parent = fs::absolute(save).parent_path();
  check(fs::is_directory(parent), "run.save: there is no folder {}", parent.string());
  check(!fs::is_directory(save), "run.save: {} is a folder; name a file", save);
}

void make_folders(const fs::path& dir) {
  std::error_code error;
  fs::create_directories(dir, error);
  check(!error || !fs::exists(dir) || fs::is_directory(dir), "run.dir: {} is no folder",
        dir.string());
  if (error)
    throw RunError(fmt::format("run.dir: cannot make {}: {}", dir.string(), error.message()));
}

/// The first of runs/NAME-1, runs/NAME-2, ... that did not exist; makes it.
std::string new_folder(const std::string& name) {
  make_folders("runs");
  for (int64_t n = 1;; ++n) {
    const std::string dir = fmt::format("runs/{}-{}", name, n);
    std::error_code error;
    if (fs::create_directory(dir, error)) return dir;  // false where it was there
    if (error) throw RunError(fmt::format("run.dir: cannot make {}: {}", dir, error.message()));
  }
}

/// What a killed process of this run was writing when it ended.
void clean_up(const Config::Run& run) {
  const fs::path dir = run.dir;
  remove_leftovers(dir);
  remove_leftovers(checkpoint_path(dir, 0).parent_path());
  if (!run.save.empty()) remove_leftovers(fs::absolute(run.save).parent_path());
}

}  // namespace

RunPlan plan_run(std::span<const std::string> arguments) {
  RunPlan plan;
  apply_arguments(plan.config, arguments);
  if (const auto source = resume_source(plan.config))
    plan = plan_resumed(arguments, plan.config, *source);
  check_config(plan.config);
  check_save_path(plan.config.run.save);
  const std::string& dir = plan.config.run.dir;
  if (!plan.from && plan.config.run.resume.empty()) {
    check(dir.empty() || !holds_run(dir),
          "run.dir: {} holds a run; run.resume=true goes on with it, another run.dir begins a new "
          "one",
          dir);
  }
  return plan;
}

FolderLock open_run_folder(Config& config, std::optional<int64_t> resumed_step) {
  if (config.run.dir.empty()) {
    config.run.dir = new_folder(fmt::format("{}-{}", config.data.set.name, config.model.name));
  } else {
    make_folders(config.run.dir);
  }
  FolderLock lock(config.run.dir);
  check(lock.held(), "run.dir: another process is training in {}", config.run.dir);
  clean_up(config.run);
  if (resumed_step) set_aside_newer(config.run.dir, *resumed_step);
  if (!resumed_step && !config.run.resume.empty()) {
    std::fputs((config.run.dir + ": no checkpoint yet; starting at the beginning\n").c_str(),
               stderr);
  }
  write_file_atomically(fs::path(config.run.dir) / "config.toml", to_toml(config));
  return lock;
}

fs::path metrics_path(const fs::path& run_dir) {
  return run_dir / "metrics.jsonl";
}

std::string config_in(const fs::path& weights) {
  const SafetensorsFile file = load_safetensors(weights);
  const auto found = file.metadata.find(config_key);
  return found == file.metadata.end() ? "" : found->second;
}

std::map<std::string, std::string> weights_metadata(const Config& config, const DataNotes& notes) {
  return {{"format", "pt"},  // other programs look for it
          {config_key, to_toml(config)},
          {notes_key, to_json(notes)}};
}

std::string to_json(const DataNotes& notes) {
  nlohmann::json json{{"classes", notes.classes}, {"channels", notes.channels}};
  if (!notes.vocabulary_mark.empty()) json["vocabulary_mark"] = notes.vocabulary_mark;
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

DataNotes notes_from(const std::string& json, const std::string& where) {
  try {
    const auto notes = nlohmann::json::parse(json);
    return {notes.at("classes"), notes.at("channels"), notes.value("vocabulary_mark", "")};
  } catch (const nlohmann::json::exception& error) {
    throw Error(fmt::format("{} cannot be read: {}", where, error.what()));
  }
}

std::optional<DataNotes> notes_in(const fs::path& weights) {
  const SafetensorsFile file = load_safetensors(weights);
  for (const std::string& key : {notes_key, std::string("minnow.extra.") + kNotesKey}) {
    const auto found = file.metadata.find(key);
    if (found == file.metadata.end()) continue;
    return notes_from(found->second, fmt::format("{}: {}", weights.string(), key));
  }
  return std::nullopt;
}

void fit_to_machine(Config& config) {
  if (cuda_problem().empty()) return;
  config.device = "auto";
  config.precision = "f32";
}

fs::path find_weights(const fs::path& source) {
  check(fs::exists(source), "{}: there is no such file or folder", source.string());
  if (!fs::is_directory(source)) return source;
  const auto newest = latest_checkpoint(source);
  check(newest.has_value(), "{}: holds no checkpoint of a run", source.string());
  return *newest;
}

}  // namespace minnow
