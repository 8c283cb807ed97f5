#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <numeric>
#include <span>

#include "data/image_table.h"
#include "data/picture.h"
#include "data/wrappers.h"
#include "train/commands.h"
#include "train/run_folder.h"
#include "train/trained_model.h"

namespace minnow {
namespace {

/// Pictures that pass the model at a time.
constexpr size_t kBatch = 64;

TrainedModel load_predictor(const std::string& weights) {
  TrainedModel predictor = load_trained_model(weights);
  check(predictor.config.model.vit.image > 0, "{}: its model, a {}, reads no pictures; {}", weights,
        predictor.config.model.name, usual_command(predictor.config));
  check(predictor.notes.channels == 1 || predictor.notes.channels == 3,
        "{}: pictures have 1 or 3 channels; its model's have {}", weights,
        predictor.notes.channels);
  return predictor;
}

/// [C, size, size] uint8. A model of grey pictures sees their brightness (ITU-R BT.601).
Tensor read_picture(const std::string& file, int64_t size, int64_t channels) {
  const Tensor rgb = Tensor::empty({3, size, size}, DType::uint8);
  decode_picture(file, size, rgb.data<uint8_t>());
  if (channels == 3) return rgb;
  const Tensor grey = Tensor::empty({1, size, size}, DType::uint8);
  const int64_t n = size * size;
  const uint8_t* from = rgb.data<uint8_t>();
  for (int64_t i = 0; i < n; ++i) {
    grey.data<uint8_t>()[i] = static_cast<uint8_t>(
        (299 * from[i] + 587 * from[n + i] + 114 * from[2 * n + i] + 500) / 1000);
  }
  return grey;
}

/// The pictures that can be read, side by side, and their names; the others are named on stderr.
struct Pictures {
  std::vector<std::string> names;
  Tensor images;  ///< [N, C, size, size] uint8; undefined where N = 0
};

Pictures read_pictures(std::span<const std::string> files, int64_t size, int64_t channels) {
  Pictures read;
  std::vector<Tensor> images;
  for (const std::string& file : files) {
    try {
      images.push_back(read_picture(file, size, channels));
      read.names.push_back(file);
    } catch (const Error& error) {
      std::fputs(fmt::format("minnow: {}\n", error.what()).c_str(), stderr);
    }
  }
  if (images.empty()) return read;
  const int64_t count = std::ssize(images);
  read.images = Tensor::empty({count, channels, size, size}, DType::uint8);
  for (int64_t i = 0; i < count; ++i)
    read.images.slice(i, i + 1).copy_from(images[i].reshape({1, channels, size, size}));
  return read;
}

/// Logits [N, classes] on the host.
Tensor logits_for(const TrainedModel& predictor, const Pictures& pictures) {
  const int64_t count = pictures.images.dim(0);
  std::vector<int64_t> all(static_cast<size_t>(count)), none(all.size(), 0);
  std::iota(all.begin(), all.end(), 0);
  const Transformed data(
      std::make_shared<ImageTable>(pictures.images, none, all, predictor.notes.classes),
      {.mean = predictor.config.data.mean, .std = predictor.config.data.std});
  const Tensor inputs = make_batch(data, all, 0).inputs.to(predictor.device);
  Tape tape(Tape::Mode::evaluate);
  const Tensor logits =
      logits_of(*predictor.model, predictor.config, tape, inputs).value().to(Device::cpu());
  const float* values = logits.data<float>();
  if (!std::all_of(values, values + logits.numel(), [](float x) { return std::isfinite(x); }))
    throw RunError("the logits of the model are not finite numbers");
  return logits;
}

struct Guess {
  std::string name;
  double probability;
};

/// The most likely classes, the likeliest first; among equals the first comes first.
std::vector<Guess> best_guesses(std::span<const float> logits,
                                const std::vector<std::string>& names, int64_t top) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (float x : logits) sum += std::exp(x - largest);
  std::vector<size_t> order(logits.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return logits[a] > logits[b]; });
  order.resize(std::min(order.size(), static_cast<size_t>(top)));
  std::vector<Guess> guesses;
  guesses.reserve(order.size());
  for (size_t c : order) guesses.push_back({names[c], std::exp(logits[c] - largest) / sum});
  return guesses;
}

void print_guesses(const std::string& file, const std::vector<Guess>& guesses, bool json) {
  if (json) {
    nlohmann::json classes = nlohmann::json::array();
    for (const auto& [name, probability] : guesses)
      classes.push_back({{"name", name}, {"probability", probability}});
    fmt::print("{}\n", nlohmann::json{{"file", file}, {"classes", classes}}.dump(
                           -1, ' ', false, nlohmann::json::error_handler_t::replace));
    return;
  }
  std::string text;
  for (const auto& [name, probability] : guesses)
    text += fmt::format("{} {} {:.2f} %", text.empty() ? "" : ",", name, 100 * probability);
  fmt::print("{}:{}\n", file, text);
}

}  // namespace

int predict_command(const std::string& source, const std::vector<std::string>& files,
                    const PredictOptions& options) {
  const TrainedModel predictor = load_predictor(find_weights(source).string());
  const auto& [config, notes] = std::tie(predictor.config, predictor.notes);
  const size_t classes = notes.classes.size();
  size_t done = 0;
  for (size_t begin = 0; begin < files.size(); begin += kBatch) {
    const auto some = std::span(files).subspan(begin, std::min(kBatch, files.size() - begin));
    const Pictures pictures = read_pictures(some, config.model.vit.image, notes.channels);
    if (pictures.names.empty()) continue;
    const Tensor logits = logits_for(predictor, pictures);
    for (const std::string& name : pictures.names) {
      const size_t row = static_cast<size_t>(&name - pictures.names.data());
      print_guesses(
          name,
          best_guesses({logits.data<float>() + row * classes, classes}, notes.classes, options.top),
          options.json);
    }
    done += pictures.names.size();
  }
  return done == files.size() ? 0 : 2;
}

}  // namespace minnow
