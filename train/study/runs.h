#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "engine/files.h"
#include "train/config.h"
#include "train/history.h"

namespace minnow::study {

/// One training run of a study. What the configuration says of its folder does not count.
struct Run {
  std::string name;
  Config config;
};

/// What has become of a run.
struct RunResult {
  bool diverged = false;
  std::string why = {};  ///< it diverged
  History history;       ///< its records, up to there
  double seconds = 0;    ///< of training, without what was lost by a kill
};

/// The runs of a study, each in FOLDER/runs/NAME: none is trained twice, and those that were
/// interrupted go on where they stopped. A run whose loss or weights stop being numbers has
/// diverged, which is an end, too.
class Runs {
 public:
  struct Options {
    int64_t jobs = 1;               ///< runs at a time; more than one: in processes of their own
    bool keep_checkpoints = false;  ///< of runs that have ended
  };

  /// Error where another process works in the folder.
  Runs(const std::filesystem::path& folder, Options options);

  /// Brings all of them to their end; false where the user interrupted that. Error, before anything
  /// is trained, where a run of the same name and another configuration lies in the folder;
  /// RunError where a run fails otherwise than by diverging, as for a full disk.
  bool finish(const std::vector<Run>& runs);
  /// Of a run that finish() has brought to its end.
  RunResult result(const Run& run) const;

 private:
  struct Going;

  bool train_here(const Run& run);
  bool train_apart(const std::vector<const Run*>& runs);
  Going start_apart(const Run& run) const;
  void settle(const Run& run, bool finished, double seconds, const std::string& failure);

  std::filesystem::path folder_;
  Options options_;
  FolderLock lock_;
  size_t done_ = 0, wanted_ = 0;  // of finish()
};

}  // namespace minnow::study
