#include "train/trainer.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "engine/machine.h"
#include "engine/ops.h"
#include "train/interrupt.h"
#include "train/records.h"
#include "train/run_folder.h"
#include "train/schedule.h"
#include "train/task.h"

namespace minnow {
namespace {

using Clock = std::chrono::steady_clock;

bool all_finite(const Parameters& parameters) {
  return std::all_of(parameters.begin(), parameters.end(), [](const Parameter* p) {
    const float* values = p->value.data<float>();
    return std::all_of(values, values + p->value.numel(), [](float x) { return std::isfinite(x); });
  });
}

/// Named here so that a resumed run makes the same choices on a machine whose speed is measured
/// anew.
void resolve_tau(Config& config) {
  if (config.clip.tau == 0 && config.uses_groups()) config.clip.tau = measured_tau();
}

}  // namespace

Trainer::Trainer(Config config, const std::optional<Checkpoint>& from)
    : config_(std::move(config)) {
  check_config(config_);
  use_threads(config_);
  train_ = open_data(config_, Split::train, true);
  test_ = open_data(config_, Split::test, false);
  resolve(config_, *train_);
  resolve_tau(config_);
  rule_ = config_.clip_rule();
  check(train_->classes() == test_->classes(), "data: the splits have different classes");
  check(config_.train.batch <= train_->size(),
        "train.batch: {} examples, but the data set has only {}", config_.train.batch,
        train_->size());
  model_ = make_model(config_, *train_);
  parameters_ = model_->parameters();
  optimizer_ = std::make_unique<Optimizer>(parameters_, config_.optimizer());
  load_start(from);
  loader_ = std::make_unique<Loader>(train_, LoaderOptions{.batch = config_.train.batch,
                                                           .shuffle = config_.data.shuffle,
                                                           .seed = config_.seed,
                                                           .workers = config_.data.workers,
                                                           .drop_last = true});
  const auto& train = config_.train;
  total_steps_ = train.steps > 0 ? train.steps : train.epochs * loader_->batches();
}

void Trainer::load_start(const std::optional<Checkpoint>& from) {
  if (!from) {
    if (!config_.init_from.empty()) load_model(*model_, config_.init_from, *train_);
    return;
  }
  load_parameters(parameters_, {from->parameters, {}}, "the checkpoint");
  optimizer_->load_state(from->optimizer);
  clip_state_.values() = from->clip_thresholds;
  step_ = from->step;
  epoch_ = from->epoch;
  batch_in_epoch_ = from->batch_in_epoch;
  resumed_ = true;
}

std::string Trainer::summary() const {
  return fmt::format(
      "{} training and {} test pictures of {} classes; {} of {} parameters; {} steps of {}",
      train_->size(), test_->size(), train_->classes().size(), config_.model.name,
      nn::count_elements(parameters_), total_steps_, config_.train.batch);
}

void Trainer::warn_about_data() const {
  constexpr size_t shown = 5;
  for (const auto& data : {train_, test_}) {
    const std::vector<std::string> warnings = data->warnings();
    for (size_t i = 0; i < std::min(shown, warnings.size()); ++i) {
      progress_->line("left out: " + warnings[i]);
    }
    if (warnings.size() > shown)
      progress_->line(fmt::format("left out: {} more", warnings.size() - shown));
  }
}

Outcome Trainer::run() {
  open_run_folder(config_, resumed_);
  metrics_ = std::make_unique<MetricsWriter>(metrics_path(config_.run.dir), resumed_, step_ + 1);
  progress_ = std::make_unique<Progress>(total_steps_);
  progress_->line(summary());
  progress_->line(fmt::format(
      "{} {}", resumed_ ? fmt::format("going on after step {} in", step_) : "run folder",
      config_.run.dir));
  warn_about_data();
  const InterruptGuard guard;
  if (step_ < total_steps_) loader_->start_epoch(epoch_, batch_in_epoch_);
  while (step_ < total_steps_) {
    train_step();
    const bool epoch_done = ++batch_in_epoch_ == loader_->batches();
    if (epoch_done) {
      ++epoch_;
      batch_in_epoch_ = 0;
    }
    const bool last = step_ == total_steps_;
    if (evaluation_due(epoch_done)) evaluate_now();
    const bool stop = guard.interrupted();
    if (checkpoint_due(epoch_done) || stop) save_state();
    if (stop && !last) return Outcome::interrupted;
    if (epoch_done && !last) loader_->start_epoch(epoch_);
  }
  progress_->finish();
  const std::string& save = config_.run.save;
  if (!save.empty())
    save_safetensors(save, parameter_tensors(parameters_), weights_metadata(config_));
  return Outcome::finished;
}

Grouping Trainer::grouping(int64_t examples) const {
  return Grouping::runs(examples, config_.uses_groups() ? config_.clip.micro_batch : examples);
}

void Trainer::train_step() {
  const auto start = Clock::now();
  const Batch batch = loader_->next().value();
  const Grouping groups = grouping(batch.size());
  const double lr = learning_rate(config_.schedule, config_.optim.lr, step_, total_steps_);
  const GroupedStep result = gradient(batch, groups);
  const double loss = finite_loss(result, groups);
  if (!std::isfinite(loss)) diverged("the loss or its gradient is not finite");
  if (!result.groups.skipped) optimizer_->step(result.update, lr);
  ++step_;

  const std::chrono::duration<double> took = Clock::now() - start;
  const double rate = static_cast<double>(batch.size()) / took.count();
  rate_ = rate_ == 0 ? rate : 0.9 * rate_ + 0.1 * rate;
  if (step_ % config_.log.every == 0 || step_ == total_steps_) {
    nlohmann::json record = step_record({step_, epoch_ + 1}, loss, lr, result.groups, rate);
    if (config_.log.norms) add_groups(record, result.groups, groups, batch.marked);
    metrics_->write(record);
  }
  if (result.groups.nonfinite > 0) {
    progress_->line(fmt::format("step {}: {} of {} micro-batches have no finite gradient; {}",
                                step_, result.groups.nonfinite, groups.groups(),
                                result.groups.skipped ? "step skipped" : "left out"));
  }
  progress_->update(step_, epoch_ + 1, loss, lr, rate_);
}

GroupedStep Trainer::gradient(const Batch& batch, const Grouping& groups) {
  const LossFn loss = [&](Tape& tape, int64_t begin, int64_t end) {
    tape.set_random({.seed = config_.seed,
                     .step = static_cast<uint64_t>(step_),
                     .example_ids = batch.ids.slice(begin, end),
                     .training = true});
    const Var logits = model_->forward(tape.input(batch.inputs.slice(begin, end)));
    return cross_entropy(logits, batch.labels.slice(begin, end), config_.train.label_smoothing);
  };
  try {
    return clipped_gradient(parameters_, groups, loss, rule_, clip_state_,
                            config_.grouped_options());
  } catch (const RunError& error) {
    throw RunError(fmt::format("step {}: {}", step_ + 1, error.what()));
  }
}

void Trainer::diverged(const std::string& what) const {
  const auto kept = latest_checkpoint(config_.run.dir);
  throw RunError(fmt::format(
      "after step {} {}; a smaller optim.lr (now {}), a longer schedule.warmup or clip.rule=min "
      "may help; {}",
      step_, what, config_.optim.lr,
      kept ? "the last checkpoint is " + kept->string() : "there is no checkpoint yet"));
}

bool Trainer::evaluation_due(bool epoch_done) const {
  const int64_t every = config_.train.eval_every;
  if (every == 0) return false;
  return step_ == total_steps_ || (epoch_done && epoch_ % every == 0);
}

void Trainer::evaluate_now() {
  const RunPlace place{step_, batch_in_epoch_ == 0 ? epoch_ : epoch_ + 1};
  const Score score = evaluate(*model_, test_, config_.data.workers);
  if (!std::isfinite(score.loss)) diverged("the loss on the test split is not a finite number");
  score_ = score;
  metrics_->write(eval_record(place, score));
  progress_->line(fmt::format("epoch {}: test loss {:.4f}, top-1 {:.2f} %, top-5 {:.2f} %",
                              place.epoch, score.loss, 100 * score.top1, 100 * score.top5));
}

bool Trainer::checkpoint_due(bool epoch_done) const {
  const int64_t every = config_.run.checkpoint_every;
  return step_ == total_steps_ || (every == 0 ? epoch_done : step_ % every == 0);
}

void Trainer::save_state() {
  if (!all_finite(parameters_)) diverged("the weights are not finite numbers");
  Checkpoint checkpoint;
  checkpoint.parameters = parameter_tensors(parameters_);
  checkpoint.optimizer = optimizer_->state();
  checkpoint.clip_thresholds = clip_state_.values();
  checkpoint.step = step_;
  checkpoint.epoch = epoch_;
  checkpoint.batch_in_epoch = batch_in_epoch_;
  checkpoint.seed = config_.seed;
  checkpoint.config = to_toml(config_);
  save_checkpoint(checkpoint_path(config_.run.dir, step_), checkpoint);
  prune_checkpoints(config_.run.dir);
}

}  // namespace minnow
