#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "engine/files.h"
#include "train/checkpoint.h"
#include "train/config.h"
#include "train/task.h"

namespace minnow {

/// What the arguments of `minnow train` come to.
struct RunPlan {
  Config config;
  std::optional<Checkpoint> from;  ///< the state to go on from; nothing: a new run
};

/// Reads the recipe, the overrides and, where run.resume says so, the checkpoint: its configuration
/// then stands in the place of the defaults, so that `run.resume=DIR` alone is enough. Writes
/// nothing. Error for whatever does not fit, among it a resumed run with other data, another model,
/// batch or seed, which could not go on where it stopped.
RunPlan plan_run(std::span<const std::string> arguments);

/// Makes the folder of a run, chooses its name (runs/DATA-MODEL-N) where config.run.dir is empty,
/// and writes config.toml. Removes what killed writers left, and sets aside the checkpoints after
/// `resumed_step`; nothing: the run is new. Error where another run lives there already, or is
/// going on there; RunError where the disk refuses. The lock keeps other processes from training
/// there.
FolderLock open_run_folder(Config& config, std::optional<int64_t> resumed_step);

/// DIR/metrics.jsonl
std::filesystem::path metrics_path(const std::filesystem::path& run_dir);

std::string to_json(const DataNotes& notes);
/// What to_json gave. Error that names `where` for anything else.
DataNotes notes_from(const std::string& json, const std::string& where);

/// The configuration that a checkpoint or a file of weights carries; empty where it carries none.
std::string config_in(const std::filesystem::path& weights);
/// Likewise the notes; nothing where it carries none. Error where they cannot be read.
std::optional<DataNotes> notes_in(const std::filesystem::path& weights);
/// What goes into the metadata of saved weights, so that the two above find it.
std::map<std::string, std::string> weights_metadata(const Config& config, const DataNotes& notes);
/// Where a checkpoint has the notes, in Checkpoint::extra.
inline constexpr const char* kNotesKey = "data";

/// Makes `config`, of a run that may have had a GPU, one that this machine can compute.
void fit_to_machine(Config& config);

/// The newest checkpoint of a run folder, or the file itself. Error where there is none.
std::filesystem::path find_weights(const std::filesystem::path& source);

}  // namespace minnow
