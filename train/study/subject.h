#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "nn/module.h"
#include "train/config.h"
#include "train/study/gradient_products.h"

namespace minnow::study {

/// A moment of training whose weights are at hand.
struct Moment {
  int64_t step = 0;                       ///< updates made
  std::filesystem::path checkpoint = {};  ///< empty: the weights that training starts from
};

/// What the arguments of a study come to: a run and its moments, in their order.
struct Source {
  Config config;
  std::vector<Moment> moments;
};

/// Examples in random order, as positions in the training data.
struct Chosen {
  std::vector<int64_t> benign, draggers;
};

/// How many examples of one kind a study needs, and how many it would like.
struct Wanted {
  int64_t least, most;
};

/// Draws without replacement; stops looking at the data as soon as there are enough of both. Error
/// that counts what there is where it is too little.
Chosen choose(const Dataset& data, Wanted benign, Wanted draggers, uint64_t seed);

/// The model of a run at one moment, and the data that it trains on.
class Subject {
 public:
  /// Opens the data. Error as from `minnow train`.
  explicit Subject(Config config);

  const Config& config() const { return config_; }
  const Dataset& data() const { return *data_; }
  const Parameters& parameters() const { return parameters_; }
  /// Takes the weights of that moment. Averaged weights play no part: it is the others that are
  /// trained.
  void go_to(const Moment& moment);
  /// The losses as in training at this moment, dropout and augmentation (of the first epoch)
  /// included; nothing is mixed. To be called once there has been a moment.
  LossOf loss() const;
  /// The examples that pass through the model at a time in training.
  int64_t wave() const;
  /// How training forms the gradients of micro-batches, never more than wave() examples at a time.
  GroupedOptions grouped_options() const;

 private:
  Config config_;
  std::shared_ptr<const Dataset> data_;
  Device device_ = Device::cpu();
  std::unique_ptr<nn::Model> model_;
  Parameters parameters_;
  int64_t step_ = 0;
};

/// `arguments`: a run folder, or else at most one recipe, and key=value settings, which win. A
/// recipe is trained as `minnow train` would, with `points` checkpoints in equal steps, all kept;
/// of a run folder all checkpoints are taken, or `points` of them in about equal steps where it has
/// more. The start of training is a moment, too, and with `points` = 0 the only one, for which
/// nothing is trained. `look_first` sees the data before hours of training. Error as from `minnow
/// train`, and for a run folder without checkpoints; RunError where training was interrupted.
Source find_source(const std::vector<std::string>& arguments, int64_t points,
                   const std::function<void(const Subject&)>& look_first);

/// The gradient of the mean loss of the examples.
std::vector<Tensor> average_gradient(const Subject& subject, Examples examples);

}  // namespace minnow::study
