#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/open.h"
#include "engine/grouped_backward.h"
#include "engine/groups.h"
#include "nn/models.h"
#include "train/optimizer.h"
#include "train/schedule.h"

namespace minnow {

/// Everything that a recipe can say about a run. The keys, their help and their limits are the
/// table in train/config_keys.cpp; the values here are the defaults.
struct Config {
  uint64_t seed = 0;
  std::string device = "auto";
  std::string precision = "f32";
  int64_t threads = 0;

  nn::ModelConfig model;

  struct Data {
    DatasetConfig set;
    int64_t cache = 1024;  ///< MiB
    int64_t workers = 1;
    bool shuffle = true;
    int64_t repeats = 1;
    double validation = 0;
    std::string augment = "none";
    int64_t pad = 4;
    std::string crop = "auto";
    int64_t randaug_ops = 2, randaug_magnitude = 9;
    double erasing = 0.25;
    std::vector<double> mean = {}, std = {};
    std::vector<double> noise = {};  ///< decibels; of speech
  } data;

  struct Train {
    int64_t epochs = 10, steps = 0;  ///< one of them is 0
    int64_t batch = 64, batch_frames = 0, wave = 0;
    double label_smoothing = 0;
    double mixup = 0, cutmix = 0, mix_prob = 1, mix_switch = 0.5;
    double ema = 0;
    int64_t eval_every = 1;
  } train;

  OptimizerConfig optim;
  std::vector<double> betas = {0.9, 0.999};
  ScheduleConfig schedule;

  struct Clip {
    std::string rule = "none", reduction = "mean", scope = "global", on_nonfinite = "skip";
    std::string strategy = "automatic", group = "runs";
    int64_t micro_batch = 1;
    double threshold = 1, quantile = 0.5, gamma = 0.01, tau = 0;
    int64_t memory_budget = 256;  ///< MiB
  } clip;

  std::string init_from;
  bool init_new_head = false;

  struct Run {
    std::string dir, save;
    std::string
        resume;  ///< empty: a new run; "true": the one in `dir`; otherwise a folder or a checkpoint
    int64_t checkpoint_every = 0, keep = 2;
  } run;

  struct Log {
    bool norms = false, grad_norm = false, debug = false;
    int64_t every = 1;
    bool tensorboard = true, report = true;
  } log;

  /// model.image 0 means: as large as the pictures are.
  Config() {
    model.vit.image = 0;
    optim.lr = 1e-3;
  }

  /// Processor cores to use: `threads`, or else what OMP_NUM_THREADS says, or all.
  int64_t thread_count() const;
  DatasetConfig dataset() const;
  OptimizerConfig optimizer() const;
  ClipRule clip_rule() const;
  GroupedOptions grouped_options() const;
  /// Whether a step looks at micro-batches; otherwise the batch is one group, and training is
  /// plain.
  bool uses_groups() const { return clip.rule != "none" || log.norms; }
  /// Whether pictures are mixed, and among how many: a micro-batch, or the batch where training is
  /// plain.
  bool mixes() const { return train.mixup > 0 || train.cutmix > 0; }
  int64_t partners() const { return uses_groups() ? clip.micro_batch : train.batch; }
};

/// Sets what a TOML text or file says. Throws Error, with file and line, for a key that does not
/// exist (and names the nearest one), a value of another type or out of its limits, and for both
/// train.epochs and train.steps.
void apply_toml(Config& config, std::string_view text, const std::string& source);
void apply_file(Config& config, const std::filesystem::path& path);

/// Sets what `key=value` arguments say, in their order. A value is a TOML value; what is none is a
/// string.
void apply_overrides(Config& config, std::span<const std::string> arguments);

/// The arguments of a command: at most one recipe file, and overrides, which win over the file
/// wherever they stand.
void apply_arguments(Config& config, std::span<const std::string> arguments);

/// Rules between keys. Throws Error that names the keys.
void check_config(const Config& config);

/// The configuration as TOML; apply_toml of it gives the same configuration. run.resume is left
/// out: how a run was started does not describe it.
std::string to_toml(const Config& config);

/// The keys whose values differ, in the order of the table.
std::vector<std::string> differing_keys(const Config& a, const Config& b);
/// The value of one key, as TOML.
std::string value_text(const Config& config, std::string_view key);

/// Every key with its default and help, for --help.
std::string describe_keys();

}  // namespace minnow
