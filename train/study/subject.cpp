#include "train/study/subject.h"

#include <algorithm>

#include "data/permutation.h"
#include "engine/machine.h"
#include "train/checkpoint.h"
#include "train/fine_tune.h"
#include "train/run_folder.h"
#include "train/task.h"
#include "train/trainer.h"

namespace minnow::study {
namespace {

namespace fs = std::filesystem;

/// `count` of n things in about equal steps, the last one among them.
std::vector<int64_t> spread(int64_t n, int64_t count) {
  count = std::min(n, count);
  std::vector<int64_t> places;
  for (int64_t i = 1; i <= count; ++i) places.push_back(i * n / count - 1);
  return places;
}

std::vector<Moment> moments_of(const fs::path& run, int64_t points) {
  auto found = find_checkpoints(run);
  check(!found.empty(), "{}: holds no checkpoint of a run", run.string());
  std::reverse(found.begin(), found.end());
  std::vector<Moment> moments{{}};
  for (int64_t i : spread(std::ssize(found), points)) {
    moments.push_back({found[i].step, found[i].path});
  }
  return moments;
}

Source of_run(const std::vector<std::string>& arguments, int64_t points) {
  Source source;
  const fs::path run = arguments.front();
  source.moments = moments_of(run, points);
  const fs::path newest = find_checkpoints(run).front().path;
  apply_toml(source.config, config_in(newest), newest.string());
  fit_to_machine(source.config);
  apply_arguments(source.config, std::span(arguments).subspan(1));
  check_config(source.config);
  return source;
}

/// Trains, and leaves `points` checkpoints in the run's folder.
void train(Config& config, int64_t points) {
  config.run.keep = 0;
  const int64_t steps = Trainer(config).total_steps();
  config.run.checkpoint_every = (steps + points - 1) / points;
  Trainer trainer(config);
  const Outcome outcome = trainer.run();
  config = trainer.config();
  if (outcome == Outcome::interrupted) {
    throw RunError(
        fmt::format("interrupted after step {} of {}; go on with: minnow train "
                    "run.resume={}, then study that folder",
                    trainer.step(), steps, config.run.dir));
  }
}

}  // namespace

Source find_source(const std::vector<std::string>& arguments, int64_t points,
                   const std::function<void(const Subject&)>& look_first) {
  check(points >= 0, "--points: must not be negative; got {}", points);
  if (!arguments.empty() && fs::is_directory(arguments.front())) return of_run(arguments, points);
  RunPlan plan = plan_run(arguments);
  check(!plan.from && plan.config.run.resume.empty(),
        "run.resume: a study takes the folder of a run, which `minnow train` goes on with");
  measure_features(plan.config);  // once, for all that read the data from here on
  if (points == 0) return {std::move(plan.config), {Moment{}}};
  look_first(Subject(plan.config));
  train(plan.config, points);
  return {plan.config, moments_of(plan.config.run.dir, points)};
}

Chosen choose(const Dataset& data, Wanted benign, Wanted draggers, uint64_t seed) {
  Chosen chosen;
  const auto missing = [&] {
    return std::ssize(chosen.benign) < benign.most || std::ssize(chosen.draggers) < draggers.most;
  };
  for (int64_t i : permutation(data.size(), {seed, stream::shuffle, 0, 2})) {
    if (!missing()) break;
    const bool marked = data.get(i, 0).marked;
    auto& examples = marked ? chosen.draggers : chosen.benign;
    if (std::ssize(examples) < (marked ? draggers : benign).most) examples.push_back(i);
  }
  const int64_t found = std::ssize(chosen.draggers);
  check(found >= draggers.least,
        "draggers: {} are needed, but the {} training examples have {}; data.draggers plants a "
        "share of them",
        draggers.least, data.size(), found);
  check(std::ssize(chosen.benign) >= benign.least,
        "benign examples: {} are needed, but the {} training examples have {}", benign.least,
        data.size(), chosen.benign.size());
  return chosen;
}

Subject::Subject(Config config) : config_(std::move(config)) {
  use_threads(config_);
  device_ = compute_device(config_);
  measure_features(config_);
  data_ = open_data(config_, Split::train, true);
  resolve(config_, *data_);
  if (config_.clip.tau == 0) config_.clip.tau = measured_tau(device_);
}

void Subject::go_to(const Moment& moment) {
  model_ = make_model(config_, notes_on(*data_));
  model_->to(device_);
  parameters_ = model_->parameters();
  freeze(parameters_, config_.optim.freeze);
  if (moment.checkpoint.empty()) {
    start_from(parameters_, config_, *data_);
  } else {
    load_parameters(parameters_, {load_checkpoint(moment.checkpoint).parameters, {}},
                    moment.checkpoint.string());
  }
  step_ = moment.step;
}

LossOf Subject::loss() const {
  return [this](Examples examples) {
    return [this, examples](Tape& tape, int64_t begin, int64_t end) {
      Batch batch = make_batch(*data_, examples.subspan(begin, end - begin), 0);
      for (Tensor* tensor :
           {&batch.inputs, &batch.labels, &batch.ids, &batch.targets, &batch.target_lengths}) {
        if (tensor->defined()) *tensor = tensor->to(device_);
      }
      tape.set_random({.seed = config_.seed,
                       .step = static_cast<uint64_t>(step_),
                       .example_ids = batch.ids,
                       .training = true});
      return losses_of(*model_, config_, tape, batch, 0, batch.size());
    };
  };
}

int64_t Subject::wave() const {
  return config_.train.wave > 0 ? config_.train.wave : config_.train.batch;
}

GroupedOptions Subject::grouped_options() const {
  GroupedOptions options = config_.grouped_options();
  options.wave = wave();
  return options;
}

std::vector<Tensor> average_gradient(const Subject& subject, Examples examples) {
  const int64_t n = std::ssize(examples);
  // BatchNorm would couple the examples of one group.
  const int64_t size = nn::has_batch_statistics(subject.config().model) ? 1 : n;
  ClipState state;
  return clipped_gradient(subject.parameters(), Grouping::runs(n, size), subject.loss()(examples),
                          ClipRule{.rule = Rule::none}, state, subject.grouped_options())
      .update;
}

}  // namespace minnow::study
