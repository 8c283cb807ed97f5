#pragma once

#include <memory>
#include <string>

#include "train/decoder.h"
#include "train/task.h"

namespace minnow {

/// A model that saved weights bring along, with what is needed to show it something.
struct TrainedModel {
  Config config;
  DataNotes notes;
  std::unique_ptr<nn::Model> model;  ///< on `device`
  Device device = Device::cpu();
};

/// What there is to do with a model of this kind: "`minnow predict` shows it pictures".
std::string usual_command(const Config& config);

/// What a model that transcribes hears in the features [T, F] of a sound.
std::string transcript(const TrainedModel& trained, const Decoder& decoder, const Tensor& features);

/// Reads a checkpoint or a file of weights that minnow wrote. Error that names it where it does not
/// say what its model and its classes are, or cannot be used here.
TrainedModel load_trained_model(const std::string& weights);

}  // namespace minnow
