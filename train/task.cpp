#include "train/task.h"

#include <omp.h>

#include <algorithm>
#include <cmath>

#include "data/wrappers.h"
#include "engine/ops.h"
#include "kernels/gemm.h"
#include "train/checkpoint.h"
#include "train/run_folder.h"

namespace minnow {

DataNotes notes_on(const Dataset& dataset) {
  if (dataset.vocabulary() > 0) {
    return {dataset.classes(), dataset.vocabulary(), dataset.vocabulary_mark()};
  }
  return {dataset.classes(), dataset.get(0, 0).input.dim(dataset.ragged() ? -1 : 0)};
}

namespace {

/// The examples as they are stored. With data.validation, the part of the train split that is held
/// out, as it is and without draggers, takes the place of the test split.
std::shared_ptr<const Dataset> open_stored(const Config& config, Split split) {
  const double share = config.data.validation;
  DatasetConfig set = config.dataset();
  if (share == 0) return open_dataset(set, split);
  if (split == Split::train) {
    return plant_draggers(without_held_out(open_unplanted(set, split), share), set);
  }
  set.dragger_fraction = 0;
  set.speech.augment = false;
  set.speech.strict = true;
  return held_out(open_dataset(set, Split::train), share);
}

}  // namespace

std::shared_ptr<const Dataset> open_data(const Config& config, Split split, bool training) {
  std::shared_ptr<const Dataset> stored = open_stored(config, split);
  if (stored->ragged()) return stored;  // features are made, and changed, as they are read
  const Normalisation usual = default_normalisation(config.data.set.name);
  TransformOptions options;
  options.mean = config.data.mean.empty() ? usual.mean : config.data.mean;
  options.std = config.data.std.empty() ? usual.std : config.data.std;
  options.augment = {.augment = training ? augment_from(config.data.augment) : Augment::none,
                     .pad = config.data.pad,
                     .crop = crop_from(config.data.crop),
                     .randaug_ops = config.data.randaug_ops,
                     .randaug_magnitude = config.data.randaug_magnitude,
                     .erasing = config.data.erasing};
  options.seed = config.seed;
  return std::make_shared<Transformed>(std::move(stored), options);
}

const Dataset* stored_pictures(const Dataset& dataset) {
  const auto* transformed = dynamic_cast<const Transformed*>(&dataset);
  return transformed == nullptr ? nullptr : &transformed->base();
}

const char* kind_of_examples(const Dataset& dataset) {
  if (dataset.transcribed()) return "utterances";
  return dataset.ragged() ? "texts" : "pictures";
}

std::vector<std::string> LeftOut::news() {
  constexpr size_t most = 5;
  const std::vector<std::string> all = dataset_->warnings();
  std::vector<std::string> lines;
  if (!std::exchange(noticed_, true)) lines = dataset_->notices();
  const size_t end = lines.size() + most;
  while (told_ < all.size() && lines.size() < end) lines.push_back("left out: " + all[told_++]);
  if (told_ < all.size()) {
    lines.push_back(fmt::format("left out: {} more; {} in all", all.size() - told_, all.size()));
    told_ = all.size();
  }
  return lines;
}

void measure_features(Config& config) {
  if (config.data.set.speech.normalise != "global" || !config.data.mean.empty()) return;
  check(config.data.std.empty(), "data.std: given without data.mean");
  constexpr int64_t kUtterances = 500;
  Config raw = config;
  raw.data.set.speech.normalise = "none";
  raw.data.augment = "none";
  raw.data.set.dragger_fraction = 0;
  raw.data.set.speech.cache_dir.clear();
  raw.data.cache = 0;
  const auto utterances = limit_to(open_stored(raw, Split::train), kUtterances);
  check(utterances->transcribed(), "data.normalise: \"global\" is of speech, which {} is not",
        config.data.set.name);
  double frames = 0;
  std::vector<double> sums, squares;
  for (int64_t i = 0; i < utterances->size(); ++i) {
    const Tensor features = utterances->get(i, 0).input;  // [T, bins]
    const int64_t bins = features.dim(1);
    sums.resize(static_cast<size_t>(bins));
    squares.resize(static_cast<size_t>(bins));
    frames += static_cast<double>(features.dim(0));
    for (int64_t k = 0; k < features.numel(); ++k) {
      const double value = features.data<float>()[k];
      sums[static_cast<size_t>(k % bins)] += value;
      squares[static_cast<size_t>(k % bins)] += value * value;
    }
  }
  constexpr double kLeast = 0.01;  // where less, nothing is heard: such a bin is left as it is
  const auto rounded = [](double value) { return std::round(value * 1e4) / 1e4; };
  for (size_t k = 0; k < sums.size(); ++k) {
    const double average = sums[k] / frames;
    config.data.mean.push_back(rounded(average));
    const double deviation = std::sqrt(std::max(0.0, squares[k] / frames - average * average));
    config.data.std.push_back(deviation < kLeast ? 1 : rounded(deviation));
  }
}

void resolve(Config& config, const Dataset& dataset) {
  const std::string& name = config.data.set.name;
  const bool transcribes = config.model.name == "conformer", reads = config.model.name == "text";
  check(transcribes == dataset.transcribed(), "model.name: {} {}, but {} {} transcripts",
        config.model.name, transcribes ? "learns transcripts" : "learns classes", name,
        dataset.transcribed() ? "has" : "has no");
  check(reads == (dataset.vocabulary() > 0), "model.name: {} {} texts, but {} {}",
        config.model.name, reads ? "reads" : "does not read", name,
        reads ? "has none" : "has nothing else");
  check(dataset.transcribed() ? config.data.augment == "none" || config.data.augment == "speech"
                              : config.data.augment != "speech",
        "data.augment: \"{}\" does not fit the {} of {}", config.data.augment,
        kind_of_examples(dataset), config.data.set.name);
  check(!dataset.ragged() || !config.mixes(), "{}: blends pictures, and {} has {}",
        config.train.mixup > 0 ? "train.mixup" : "train.cutmix", config.data.set.name,
        kind_of_examples(dataset));
  check(!dataset.transcribed() || config.data.set.speech.normalise == "global" ||
            (config.data.mean.empty() && config.data.std.empty()),
        "data.mean, data.std: of speech only with data.normalise=global; got \"{}\"",
        config.data.set.speech.normalise);
  check(!dataset.transcribed() || config.train.label_smoothing == 0,
        "train.label_smoothing: is one of classes, and {} has transcripts", config.data.set.name);
  if (dataset.ragged()) return;
  check(config.train.batch_frames == 0, "train.batch_frames: the {} of {} are all of one size",
        kind_of_examples(dataset), config.data.set.name);
  const Shape shape = dataset.get(0, 0).input.shape();  // [C, H, W]
  check(shape[1] == shape[2], "data: pictures must be square; got {} x {}", shape[1], shape[2]);
  int64_t& image = config.model.vit.image;
  check(image == 0 || image == shape[1], "model.image: {}, but the pictures of {} are {} x {}",
        image, config.data.set.name, shape[1], shape[2]);
  image = config.data.set.image_size = shape[1];
  const Normalisation usual = default_normalisation(config.data.set.name);
  if (config.data.mean.empty()) config.data.mean = usual.mean;
  if (config.data.std.empty()) config.data.std = usual.std;
}

std::unique_ptr<nn::Model> make_model(const Config& config, const DataNotes& notes) {
  nn::ModelConfig model = config.model;
  model.vit.channels = notes.channels;
  model.vit.classes = std::ssize(notes.classes);
  model.vocabulary = notes.channels;
  model.max_tokens = config.data.set.reviews.max_tokens;
  return nn::make_model(model, config.seed);
}

void load_model(nn::Model& model, const std::string& path, const Dataset& dataset, bool raw) {
  const SafetensorsFile file = load_weights(path, raw);
  check_classes(model.parameters(), file, path, dataset);
  if (const auto notes = notes_in(path)) check_tokens(*notes, dataset, path);
  load_parameters(model.parameters(), file, path);
}

void check_classes(const Parameters& parameters, const SafetensorsFile& file,
                   const std::string& path, const Dataset& dataset, const std::string& hint) {
  // The classifier's bias comes last in every model's state dict.
  const Tensor* bias = file.find(parameters.back()->name);
  const int64_t classes = std::ssize(dataset.classes());
  check(bias == nullptr || bias->rank() != 1 || bias->dim(0) == classes,
        "{}: its weights tell {} classes apart, but the data have {}{}", path,
        bias == nullptr ? 0 : bias->numel(), classes, hint);
}

void check_vocabulary(const DataNotes& notes, const Dataset& dataset, const std::string& where) {
  const std::string known = notes.vocabulary_mark, now = dataset.vocabulary_mark();
  check(known == now || known.empty() || now.empty(),
        "{}: its word pieces are not those of the data: the training texts, data.domains or "
        "data.pieces must have changed",
        where);
}

void check_tokens(const DataNotes& notes, const Dataset& dataset, const std::string& where) {
  check_vocabulary(notes, dataset, where);
  if (!dataset.transcribed()) return;
  const auto &known = notes.classes, &now = dataset.classes();
  const auto [a, b] = std::mismatch(known.begin(), known.end(), now.begin(), now.end());
  const auto name = [](const auto& at, const auto& all) {
    return at == all.end() ? "none" : "\"" + *at + "\"";
  };
  check(a == known.end() && b == now.end(),
        "{}: its tokens are not those of the data, whose training transcripts must have changed: "
        "token {} is {} there and {} here",
        where, a - known.begin(), name(a, known), name(b, now));
}

std::string why_not_cuda(const Config& config) {
  if (config.device != "auto") return {};
  if (cuda_is_emulated()) return "this build executes the CUDA sources on the processor, for tests";
  return cuda_problem();
}

Device compute_device(const Config& config) {
  const std::string why_not = why_not_cuda(config);
  const bool cuda = config.device == "cuda" || (config.device == "auto" && why_not.empty());
  if (config.device == "cuda") {
    const std::string problem = cuda_problem();
    check(problem.empty(), "device: cuda can't be used: {}; say device=cpu or leave it out",
          problem);
  }
  check(cuda || config.precision == "f32",
        "precision: {} needs device=cuda; the CPU computes in f32{}{}", config.precision,
        why_not.empty() ? "" : ", and device=auto is the CPU here: ", why_not);
#if MINNOW_CUDA
  if (cuda) cuda::allow_tf32(config.precision == "tf32");
#endif
  return cuda ? Device::cuda() : Device::cpu();
}

namespace {

/// What a model reads, in config.precision.
Var input_of(const Config& config, Tape& tape, const Tensor& inputs) {
  const DType dtype = config.precision == "bf16" ? DType::bfloat16 : DType::float32;
  const bool tokens = inputs.dtype() == DType::int64;
  return tape.input(tokens ? inputs : inputs.to(dtype));
}

}  // namespace

Var logits_of(const nn::Model& model, const Config& config, Tape& tape, const Tensor& inputs,
              const Tensor& lengths) {
  const Var x = input_of(config, tape, inputs);
  const Tensor ends = lengths.defined() ? lengths.to(x.device()) : lengths;
  return convert(model.forward(x, ends), DType::float32);
}

Tensor output_lengths(const nn::Model& model, const Tensor& lengths) {
  const Tensor outputs = Tensor::empty(lengths.shape(), DType::int64);
  const int64_t* from = lengths.data<int64_t>();
  std::transform(from, from + lengths.numel(), outputs.data<int64_t>(),
                 [&](int64_t length) { return model.output_length(length); });
  return outputs;
}

namespace {

/// CTC of a batch on the model's device; of the last layer alone where the tape only evaluates.
Var transcript_losses(const nn::Model& model, const Config& config, Tape& tape,
                      const Batch& batch) {
  const Device device = batch.inputs.device();
  const Tensor frames = output_lengths(model, batch.lengths);
  const auto ctc = [&](const Var& logits) {
    return ctc_loss(convert(logits, DType::float32), frames, batch.targets, batch.target_lengths);
  };
  const Var x = input_of(config, tape, batch.inputs);
  const Tensor ends = batch.lengths.to(device);
  const double share = tape.recording() ? config.model.conformer.intermediate : 0;
  if (share == 0) return ctc(model.forward(x, ends));
  const auto [last, middle] =
      dynamic_cast<const nn::Conformer&>(model).forward_with_middle(x, ends);
  return add(scale(ctc(last), 1 - share), scale(ctc(middle), share));
}

}  // namespace

Var losses_of(const nn::Model& model, const Config& config, Tape& tape, const Batch& batch,
              int64_t begin, int64_t end) {
  const auto part = [&](const Tensor& t) { return t.defined() ? t.slice(begin, end) : t; };
  if (batch.targets.defined()) {
    return transcript_losses(model, config, tape,
                             {.inputs = part(batch.inputs),
                              .labels = {},
                              .ids = {},
                              .marked = {},
                              .lengths = part(batch.lengths),
                              .targets = part(batch.targets),
                              .target_lengths = part(batch.target_lengths)});
  }
  const Var logits = logits_of(model, config, tape, part(batch.inputs), part(batch.lengths));
  return cross_entropy(logits, part(batch.labels),
                       tape.recording() ? config.train.label_smoothing : 0);
}

void use_threads(const Config& config) {
  omp_set_num_threads(static_cast<int>(config.thread_count()));
}

}  // namespace minnow
