#include "train/trainer.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "engine/group_sinks.h"
#include "engine/machine.h"
#include "engine/ops.h"
#include "train/fine_tune.h"
#include "train/interrupt.h"
#include "train/micro_batches.h"
#include "train/schedule.h"
#include "train/step_debug.h"

namespace minnow {
namespace {

/// Of float32 tensors on the host.
bool all_finite(const std::vector<NamedTensor>& tensors) {
  return std::all_of(tensors.begin(), tensors.end(), [](const NamedTensor& named) {
    const float* values = named.tensor.data<float>();
    return std::all_of(values, values + named.tensor.numel(),
                       [](float x) { return std::isfinite(x); });
  });
}

/// Named here so that a resumed run makes the same choices on a machine whose speed is measured
/// anew.
void resolve_tau(Config& config, Device device) {
  if (config.clip.tau == 0 && config.uses_groups()) config.clip.tau = measured_tau(device);
}

}  // namespace

Trainer::Trainer(Config config, const std::optional<Checkpoint>& from)
    : config_(std::move(config)) {
  check_config(config_);
  use_threads(config_);
  device_ = compute_device(config_);
  measure_features(config_);
  train_ = open_data(config_, Split::train, true);
  test_ = open_data(config_, Split::test, false);
  left_out_ = {LeftOut(train_), LeftOut(test_)};
  resolve(config_, *train_);
  resolve_tau(config_, device_);
  rule_ = config_.clip_rule();
  check_groups(config_, *train_);
  check(train_->classes() == test_->classes(), "data: the splits have different classes");
  check(config_.train.batch <= train_->size() || config_.train.batch_frames > 0,
        "train.batch: {} examples, but the data set has only {}", config_.train.batch,
        train_->size());
  notes_ = notes_on(*train_);
  model_ = make_model(config_, notes_);
  model_->to(device_);
  parameters_ = model_->parameters();
  freeze(parameters_, config_.optim.freeze);
  optimizer_ = std::make_unique<Optimizer>(
      parameters_, config_.optimizer(),
      layer_rates(parameters_, config_.model.name, config_.optim.layer_decay));
  load_start(from);
  auto loader = std::make_unique<Loader>(
      train_, LoaderOptions{.batch = config_.train.batch,
                            .shuffle = config_.data.shuffle,
                            .seed = config_.seed,
                            .workers = config_.data.workers,
                            .drop_last = true,
                            .repeats = config_.data.repeats,
                            .by_length = train_->ragged() && config_.data.shuffle &&
                                         config_.data.repeats == 1,
                            .frames = config_.train.batch_frames,
                            .finish = batch_finisher(config_, std::ssize(train_->classes()))});
  note_lone_micro_batches(*loader);
  feeder_ = std::make_unique<Feeder>(std::move(loader), device_);
  const auto& train = config_.train;
  total_steps_ = train.steps > 0 ? train.steps : train.epochs * feeder_->batches();
}

void Trainer::note_lone_micro_batches(const Loader& loader) {
  const auto& [rule, size] = std::tie(config_.clip.rule, config_.clip.micro_batch);
  if (config_.train.batch_frames == 0 || rule == "none" || size >= config_.train.batch) return;
  const int64_t count = loader.batches_of_at_most(size);
  if (count == 0) return;
  notice_ = fmt::format(
      "{} of {} batches of train.batch_frames = {} hold a single micro-batch of {}, which has no "
      "other to be compared with",
      count, loader.batches(), config_.train.batch_frames, size);
}

void Trainer::load_start(const std::optional<Checkpoint>& from) {
  if (!from) {
    start_from(parameters_, config_, *train_);
    begin_average();  // of the weights that training starts from
    return;
  }
  if (const auto told = from->extra.find(kNotesKey); told != from->extra.end()) {
    check_tokens(notes_from(told->second, "the checkpoint's notes"), *train_, "the checkpoint");
  }
  load_parameters(parameters_, {from->parameters, {}}, "the checkpoint");
  optimizer_->load_state(from->optimizer);
  begin_average();
  if (average_) {
    check(!from->average.empty(),
          "train.ema: {}, but the run has gone {} steps without averaged weights; resume it with "
          "train.ema=0, or begin another run with init.from",
          config_.train.ema, from->step);
    average_->load_state(from->average, "the checkpoint's averaged weights");
  }
  clip_state_.set_values(from->clip_thresholds);
  step_ = from->step;
  epoch_ = from->epoch;
  batch_in_epoch_ = from->batch_in_epoch;
  resumed_ = true;
}

void Trainer::begin_average() {
  const double decay = config_.train.ema;
  if (decay > 0) average_ = std::make_unique<WeightAverage>(parameters_, decay);
}

std::vector<NamedTensor> Trainer::weights() const {
  return average_ ? average_->weights() : parameter_tensors(parameters_);
}

std::string Trainer::summary() const {
  const auto& [batch, frames] = std::tie(config_.train.batch, config_.train.batch_frames);
  return fmt::format(
      "{} training and {} test {} of {} {}; {} of {} parameters; {} steps of {}", train_->size(),
      test_->size(), kind_of_examples(*train_), train_->classes().size(),
      train_->transcribed() ? "tokens" : "classes", config_.model.name,
      nn::count_elements(parameters_), total_steps_,
      frames > 0 ? fmt::format("{} frames, {} at most", frames, batch) : std::to_string(batch));
}

void Trainer::warn_about_data() {
  if (!notice_.empty()) progress_->line(std::exchange(notice_, {}));
  for (LeftOut& left_out : left_out_) {
    for (const std::string& line : left_out.news()) progress_->line(line);
  }
}

Outcome Trainer::run() {
  const InterruptGuard guard;
  const FolderLock lock = open_run_folder(config_, resumed_ ? std::optional(step_) : std::nullopt);
  progress_ = std::make_unique<Progress>(total_steps_);
  log_ = std::make_unique<RunLog>(config_, resumed_, step_ + 1, train_,
                                  [this](const std::string& text) { progress_->line(text); });
  progress_->line(summary());
  progress_->line(fmt::format(
      "{} {}", resumed_ ? fmt::format("going on after step {} in", step_) : "run folder",
      config_.run.dir));
  if (!device_.is_cuda()) {
    const std::string why = why_not_cuda(config_);
    const int64_t threads = config_.thread_count();
    progress_->line(fmt::format("device: cpu ({} thread{}){}", threads, threads == 1 ? "" : "s",
                                why.empty() ? "" : ", because: " + why));
  }
  warn_about_data();
  if (step_ < total_steps_) feeder_->start_epoch(epoch_, batch_in_epoch_);
  while (step_ < total_steps_) {
    try {
      train_step();
    } catch (...) {
      settle();  // what the step before it has to say is not lost
      throw;
    }
    const bool epoch_done = ++batch_in_epoch_ == feeder_->batches();
    if (epoch_done) {
      ++epoch_;
      batch_in_epoch_ = 0;
    }
    const bool last = step_ == total_steps_;
    if (evaluation_due(epoch_done)) evaluate_now();
    if (epoch_done || last) warn_about_data();
    const bool stop = guard.interrupted();
    if (checkpoint_due(epoch_done) || stop) save_state();
    if (last || stop) log_->finish();
    if (stop && !last) return Outcome::interrupted;
    if (epoch_done && !last) feeder_->start_epoch(epoch_);
  }
  progress_->finish();
  const std::string& save = config_.run.save;
  if (!save.empty()) save_safetensors(save, on_host(weights()), weights_metadata(config_, notes_));
  return Outcome::finished;
}

void Trainer::train_step() {
  const auto start = Clock::now();
  Feeder::Fed fed = feeder_->next().value();
  feeder_->prefetch();
  Grouping groups = micro_batches(config_, fed.batch);
  const double lr = learning_rate(config_.schedule, config_.optim.lr, step_, total_steps_);
  PendingStep result = begin_gradient(fed.batch, groups);
  optimizer_->step(result.update, lr, result.groups.skipped());
  if (average_) average_->update(result.groups.skipped());
  ++step_;
  Unread now{.place = {step_, epoch_ + 1},
             .lr = lr,
             .groups = std::move(groups),
             .report = std::move(result.groups),
             .losses = HostCopy(result.losses),
             .ids = config_.log.norms ? HostCopy(fed.batch.ids) : HostCopy(),
             .squares = config_.log.grad_norm ? HostCopy(squared_norms(result.update, device_))
                                              : HostCopy(),
             .marked = std::move(fed.batch.marked),
             .staged = std::move(fed.staged),
             .start = start};
  now.report.start_reading();
  now.asked = Clock::now();
  settle();
  unread_ = std::move(now);
  if (device_.is_cpu()) settle();  // nothing runs meanwhile
}

PendingStep Trainer::begin_gradient(const Batch& batch, const Grouping& groups) {
  const LossFn loss = [&](Tape& tape, int64_t begin, int64_t end) {
    tape.set_random({.seed = config_.seed,
                     .step = static_cast<uint64_t>(step_),
                     .example_ids = batch.ids.slice(begin, end),
                     .training = true});
    return losses_of(*model_, config_, tape, batch, begin, end);
  };
  GroupedOptions options = config_.grouped_options();
  StepDebug debug;
  if (config_.log.debug) options.observe = [&](const Treatment& t) { debug.note(t); };
  try {
    PendingStep step =
        begin_clipped_gradient(parameters_, groups, loss, rule_, clip_state_, options);
    if (config_.log.debug) progress_->line(debug.line(step_ + 1, batch, groups, options.tau));
    return step;
  } catch (const RunError& error) {
    throw RunError(fmt::format("step {}: {}", step_ + 1, error.what()));
  }
}

/// Reads and records what the last step said of itself, if that has not been done.
void Trainer::settle() {
  if (!unread_) return;
  Unread step = *std::exchange(unread_, std::nullopt);
  GroupNorms seen;
  try {
    seen = step.report.read();
  } catch (const RunError& error) {
    log_->write(divergence_record(step.place.step - 1, error.what()));
    throw RunError(fmt::format("step {}: {}", step.place.step, error.what()));
  }
  const double loss = finite_loss(step.losses.wait(), seen.norms, step.groups);
  if (!std::isfinite(loss)) diverged(step.place.step - 1, "the loss or its gradient is not finite");
  record(step, loss, seen);
}

void Trainer::record(Unread& step, double loss, const GroupNorms& seen) {
  const auto& [place, lr, groups] = std::tie(step.place, step.lr, step.groups);
  const auto now = Clock::now();
  // The device may have done it long ago, when the host is the slower of the two.
  const std::chrono::duration<double> took =
      std::max(now - std::max(step.start, settled_), step.asked - step.start);
  settled_ = now;
  const double rate = static_cast<double>(groups.examples()) / took.count();
  rate_ = rate_ == 0 ? rate : 0.9 * rate_ + 0.1 * rate;
  if (place.step % config_.log.every == 0 || place.step == total_steps_) {
    nlohmann::json line = step_record(place, loss, lr, seen, rate);
    if (config_.log.norms) add_groups(line, seen, groups, step.marked, step.ids.wait());
    if (config_.log.grad_norm) add_grad_norm(line, step.squares.wait());
    log_->write(line);
  }
  if (seen.nonfinite > 0) {
    progress_->line(fmt::format(
        "step {}: {} of {} micro-batches have no finite loss and gradient; {}", place.step,
        seen.nonfinite, groups.groups(), seen.skipped ? "step skipped" : "left out"));
  }
  progress_->update(place.step, place.epoch, loss, lr, rate_);
}

void Trainer::diverged(int64_t step, const std::string& what) const {
  std::optional<std::filesystem::path> kept;
  try {
    kept = latest_checkpoint(config_.run.dir, [](const std::string&) {});
  } catch (const Error&) {
    // What is wrong with the checkpoints must not hide what is wrong with the run.
  }
  log_->write(divergence_record(step, what));
  throw RunError(fmt::format(
      "after step {} {}; a smaller optim.lr (now {}), a longer schedule.warmup or clip.rule=min "
      "may help; {}",
      step, what, config_.optim.lr,
      kept ? "the last checkpoint is " + kept->string() : "there is no checkpoint yet"));
}

bool Trainer::evaluation_due(bool epoch_done) const {
  const int64_t every = config_.train.eval_every;
  if (every == 0) return false;
  return step_ == total_steps_ || (epoch_done && epoch_ % every == 0);
}

/// On the test split, with the averaged weights where there are some.
Score Trainer::measure() {
  std::optional<WeightAverage::InPlace> averaged;
  if (average_) averaged.emplace(*average_);
  return evaluate(*model_, config_, test_);
}

void Trainer::evaluate_now() {
  settle();
  const RunPlace place{step_, batch_in_epoch_ == 0 ? epoch_ : epoch_ + 1};
  const Score score = measure();
  if (!std::isfinite(score.loss))
    diverged(step_, "the loss on the test split is not a finite number");
  score_ = score;
  log_->write(eval_record(place, score, average_ != nullptr, test_->classes()));
  progress_->line(fmt::format("epoch {}: test {}{}", place.epoch, to_string(score),
                              average_ ? " (averaged weights)" : ""));
}

bool Trainer::checkpoint_due(bool epoch_done) const {
  const int64_t every = config_.run.checkpoint_every;
  return step_ == total_steps_ || (every == 0 ? epoch_done : step_ % every == 0);
}

void Trainer::save_state() {
  settle();
  Checkpoint checkpoint;
  checkpoint.parameters = on_host(parameter_tensors(parameters_));
  if (!all_finite(checkpoint.parameters)) diverged(step_, "the weights are not finite numbers");
  checkpoint.optimizer = on_host(optimizer_->state());
  if (average_) checkpoint.average = on_host(average_->state());
  checkpoint.clip_thresholds = clip_state_.values();
  checkpoint.step = step_;
  checkpoint.epoch = epoch_;
  checkpoint.batch_in_epoch = batch_in_epoch_;
  checkpoint.seed = config_.seed;
  checkpoint.config = to_toml(config_);
  log_->sync();  // a checkpoint has all records up to its step
  checkpoint.extra[kNotesKey] = to_json(notes_);
  save_checkpoint(checkpoint_path(config_.run.dir, step_), checkpoint);
  if (config_.run.keep > 0) prune_checkpoints(config_.run.dir, config_.run.keep);
}

}  // namespace minnow
