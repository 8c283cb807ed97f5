#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engine/safetensors.h"
#include "train/weights.h"  // load_parameters and parameter_tensors

namespace minnow {

/// All that a run needs to go on as if it had never stopped.
struct Checkpoint {
  std::vector<NamedTensor> parameters = {};
  std::vector<NamedTensor> optimizer = {};   ///< Optimizer::state()
  std::vector<NamedTensor> average = {};     ///< WeightAverage::state(); empty: there is none
  std::vector<double> clip_thresholds = {};  ///< ClipState::values()
  int64_t step = 0;                          ///< steps taken
  int64_t epoch = 0;
  int64_t batch_in_epoch = 0;  ///< batches taken of this epoch
  uint64_t seed = 0;
  std::string config = {};                        ///< the resolved recipe, as TOML
  std::map<std::string, std::string> extra = {};  ///< whatever else the trainer wants back
};

/// Writes one safetensors file, atomically: the old file or the new one is there, whatever happens.
/// Parameters keep their names in it, so that other programs find them; the optimizer's tensors are
/// called "optimizer/NAME", averaged weights "ema/NAME". Makes the folder where it is missing.
/// RunError where the disk refuses.
void save_checkpoint(const std::filesystem::path& path, const Checkpoint& checkpoint);

/// Reads it back to the bit; the tensors come in an order of their own. Error that names the file
/// where it cannot be read, is no checkpoint, or has been damaged: a checksum covers all of its
/// content.
Checkpoint load_checkpoint(const std::filesystem::path& path);

/// The weights in a file, for evaluation or a start from them: the parameters of a checkpoint,
/// averaged where it holds averages, or everything in any other safetensors file. With `raw`, the
/// parameters beside the averages; Error where there are no averages to tell them from.
SafetensorsFile load_weights(const std::filesystem::path& path, bool raw = false);

/// RUN_DIR/checkpoints/step-00001200.safetensors
std::filesystem::path checkpoint_path(const std::filesystem::path& run_dir, int64_t step);

/// A checkpoint of a run folder.
struct FoundCheckpoint {
  int64_t step;
  std::filesystem::path path;
};
/// All of them, the highest step first, whether they can be read or not.
std::vector<FoundCheckpoint> find_checkpoints(const std::filesystem::path& run_dir);

using Warning = std::function<void(const std::string& message)>;
/// Writes "minnow: warning: ..." to stderr.
void warn_on_stderr(const std::string& message);

/// The checkpoint of the highest step that loads. A newer one that does not is reported to `warn`.
/// Nothing where there is none; Error where there are some and none of them loads.
std::optional<std::filesystem::path> latest_checkpoint(const std::filesystem::path& run_dir,
                                                       const Warning& warn = warn_on_stderr);

/// Renames the checkpoints of a higher step to NAME.unread, for a run that goes on from `step`:
/// they were passed over, and prune_checkpoints must not keep them in the place of good ones.
void set_aside_newer(const std::filesystem::path& run_dir, int64_t step);

/// Removes all checkpoints but those of the `keep` highest steps; keep >= 1. RunError where one
/// cannot be removed.
void prune_checkpoints(const std::filesystem::path& run_dir, int64_t keep = 2);

}  // namespace minnow
