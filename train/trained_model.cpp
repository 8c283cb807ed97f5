#include "train/trained_model.h"

#include <optional>
#include <utility>

#include "train/checkpoint.h"
#include "train/run_folder.h"
#include "train/weights.h"

namespace minnow {

TrainedModel load_trained_model(const std::string& weights) {
  const std::string carried = config_in(weights);
  std::optional<DataNotes> notes = notes_in(weights);
  check(!carried.empty() && notes.has_value(),
        "{}: does not say what its model and its classes are; minnow writes that into run.save "
        "and checkpoints",
        weights);
  TrainedModel trained{.config = {}, .notes = std::move(*notes), .model = nullptr};
  apply_toml(trained.config, carried, weights);
  fit_to_machine(trained.config);
  check_config(trained.config);
  use_threads(trained.config);
  trained.model = make_model(trained.config, trained.notes);
  load_parameters(trained.model->parameters(), load_weights(weights), weights);
  trained.device = compute_device(trained.config);
  trained.model->to(trained.device);
  return trained;
}

std::string usual_command(const Config& config) {
  if (config.model.name == "conformer") return "`minnow transcribe` plays it sounds";
  if (config.model.name == "text") return "it reads texts, and `minnow eval` scores it on some";
  return "`minnow predict` shows it pictures";
}

std::string transcript(const TrainedModel& trained, const Decoder& decoder,
                       const Tensor& features) {
  const int64_t frames = features.dim(0);
  const Tensor inputs = features.reshape({1, frames, features.dim(1)}).to(trained.device);
  const Tensor lengths = Tensor::full({1}, static_cast<double>(frames), DType::int64);
  Tape tape(Tape::Mode::evaluate);
  const Tensor logits = logits_of(*trained.model, trained.config, tape, inputs, lengths)
                            .value()
                            .to(Device::cpu());  // [1, T', V]
  return decoder.text(logits.data<float>(), trained.model->output_length(frames));
}

}  // namespace minnow
