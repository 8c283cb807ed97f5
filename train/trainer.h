#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "nn/module.h"
#include "train/checkpoint.h"
#include "train/config.h"
#include "train/evaluate.h"
#include "train/feeder.h"
#include "train/optimizer.h"
#include "train/progress.h"
#include "train/records.h"
#include "train/run_folder.h"
#include "train/run_log.h"
#include "train/task.h"
#include "train/weight_average.h"

namespace minnow {

enum class Outcome { finished, interrupted };

/// One training run, from a configuration to weights: data, model, loop, evaluations, metrics and
/// checkpoints.
///
/// Steps, epochs and records count from 1: after step s, s updates have been made. Whatever is
/// random is keyed by (seed, step, epoch, example), so a checkpoint needs no random state to go on
/// to the bit.
class Trainer {
 public:
  /// Opens the data and makes the model, or takes both from where `from` left them. Error where
  /// anything does not fit; nothing has been written by then.
  explicit Trainer(Config config, const std::optional<Checkpoint>& from = std::nullopt);

  /// Trains to the last step. SIGINT, SIGTERM and SIGHUP end it after the step at hand, with a
  /// checkpoint. RunError where the loss stops being a number, or the disk refuses; the checkpoints
  /// written before then stay.
  Outcome run();

  /// Resolved: with the folder of the run, the size of the pictures, and all else that was left
  /// open.
  const Config& config() const { return config_; }
  const Parameters& parameters() const { return parameters_; }
  /// What is evaluated and saved: the averaged weights with train.ema, otherwise the parameters.
  std::vector<NamedTensor> weights() const;
  int64_t step() const { return step_; }
  int64_t total_steps() const { return total_steps_; }
  /// Of the last evaluation of this process.
  const std::optional<Score>& score() const { return score_; }
  /// "60000 training and 10000 test pictures of 10 classes; vit of 5524000 parameters; 9370 steps"
  std::string summary() const;

 private:
  void load_start(const std::optional<Checkpoint>& from);
  void note_lone_micro_batches(const Loader& loader);
  void begin_average();
  void warn_about_data();
  void train_step();
  PendingStep begin_gradient(const Batch& batch, const Grouping& groups);
  void settle();
  bool evaluation_due(bool epoch_done) const;
  Score measure();
  void evaluate_now();
  bool checkpoint_due(bool epoch_done) const;
  void save_state();
  [[noreturn]] void diverged(int64_t step, const std::string& what) const;

  using Clock = std::chrono::steady_clock;

  /// What a step has said of itself, not read yet: on a GPU it is read when the next step has been
  /// started, so that the device never waits for the host.
  struct Unread {
    RunPlace place;
    double lr;
    Grouping groups;
    GroupReport report;
    HostCopy losses;
    HostCopy ids;              // where log.norms wants them
    HostCopy squares;          // of log.grad_norm
    std::vector<bool> marked;  // the examples of the batch
    Batch staged;              // see Feeder::Fed
    Clock::time_point start;
    Clock::time_point asked = {};  // when the device had been asked for all of it
  };
  void record(Unread& step, double loss, const GroupNorms& seen);

  Config config_;
  ClipRule rule_;
  ClipState clip_state_;
  std::shared_ptr<const Dataset> train_, test_;
  std::vector<LeftOut> left_out_;
  std::string notice_;  // to be shown once
  std::unique_ptr<nn::Model> model_;
  Parameters parameters_;
  DataNotes notes_;
  Device device_ = Device::cpu();
  std::unique_ptr<Feeder> feeder_;
  std::unique_ptr<Optimizer> optimizer_;
  std::unique_ptr<WeightAverage> average_;  // null where train.ema is 0
  std::unique_ptr<RunLog> log_;
  std::unique_ptr<Progress> progress_;

  bool resumed_ = false;
  int64_t total_steps_ = 0;
  int64_t step_ = 0;            // updates made
  int64_t epoch_ = 0;           // epochs completed
  int64_t batch_in_epoch_ = 0;  // batches taken of the one at hand
  double rate_ = 0;             // examples a second, averaged over the last steps
  Clock::time_point settled_;   // when a step was last done
  std::optional<Score> score_;
  std::optional<Unread> unread_;
};

}  // namespace minnow
