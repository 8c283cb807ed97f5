#include "data/open.h"

#include <algorithm>

#include "data/cifar10.h"
#include "data/draggers.h"
#include "data/imagefolder.h"
#include "data/mnist.h"
#include "data/reviews.h"
#include "data/shapes.h"
#include "data/tones.h"
#include "data/wrappers.h"

namespace minnow {
namespace {

using Opener = std::shared_ptr<const Dataset> (*)(const DatasetConfig&, Split);

struct Entry {
  std::string name;
  Opener open;
};

/// For data sets whose files fix the size of the pictures.
std::shared_ptr<const Dataset> check_size(const DatasetConfig& config,
                                          std::shared_ptr<const Dataset> dataset) {
  const Shape shape = dataset->get(0, 0).input.shape();
  check(config.image_size == 0 || (config.image_size == shape[1] && config.image_size == shape[2]),
        "{}: its pictures are {} x {} pixels and are not resized; got an image size of {}",
        config.name, shape[1], shape[2], config.image_size);
  return dataset;
}

SpeechOptions speech_options(const DatasetConfig& config) {
  SpeechOptions options = config.speech;
  options.data_seed = config.seed;
  options.cache_bytes = config.cache_bytes;
  options.threads = config.threads;
  options.pieces = {.vocabulary = config.reviews.vocabulary, .type = config.reviews.pieces};
  if (config.dragger_kind == "speed") options.fast_share = config.dragger_fraction;
  return options;
}

/// Recordings, in the layout of the data set's name.
std::shared_ptr<const Dataset> open_recordings(const DatasetConfig& config, Split split) {
  return std::make_shared<Speech>(config.name, config.path, split, speech_options(config));
}

/// What draggers of kind "other" take their inputs from: built-in data like those of the data set.
std::shared_ptr<const Dataset> foreign_to(const Dataset& dataset, const DatasetConfig& config) {
  constexpr int64_t kCount = 1000;
  check(config.name != "shapes" && config.name != "tones",
        "data.dragger_kind: \"other\" takes inputs from the built-in data sets, of which {} is one",
        config.name);
  check(dataset.vocabulary() == 0,
        "data.dragger_kind: \"other\" has pictures and sounds to offer, which {} has not",
        config.name);
  if (dataset.transcribed()) {
    constexpr int64_t kLeastRate = 8000;  // of the tones
    check(config.speech.rate >= kLeastRate,
          "data.dragger_kind: \"other\" has sounds for data.rate of {} and more; got {}",
          kLeastRate, config.speech.rate);
    SpeechOptions options = speech_options(config);
    options.tokens = "characters";
    options.augment = false;
    return std::make_shared<Tones>(Split::train, kCount, options);
  }
  constexpr int64_t kSmallest = 8;  // of the shapes
  const Shape picture = dataset.get(0, 0).input.shape();
  const int64_t side = std::max({kSmallest, picture[1], picture[2]});
  return std::make_shared<Shapes>(Split::train, ShapesOptions{kCount, side, config.seed});
}

const std::vector<Entry>& entries() {
  static const std::vector<Entry> table{
      {"shapes",
       [](const DatasetConfig& c, Split split) -> std::shared_ptr<const Dataset> {
         const int64_t count = split == Split::train ? c.train_size : c.test_size;
         const int64_t side = c.image_size == 0 ? 32 : c.image_size;
         return std::make_shared<Shapes>(split, ShapesOptions{count, side, c.seed});
       }},
      {"cifar10", [](const DatasetConfig& c,
                     Split split) { return check_size(c, read_cifar10(c.path, split)); }},
      {"mnist", [](const DatasetConfig& c,
                   Split split) { return check_size(c, read_mnist(c.path, split)); }},
      {"imagefolder",
       [](const DatasetConfig& c, Split split) -> std::shared_ptr<const Dataset> {
         return std::make_shared<ImageFolder>(
             c.path, split, ImageFolderOptions{c.image_size, c.cache_bytes, c.threads});
       }},
      {"tones",
       [](const DatasetConfig& c, Split split) -> std::shared_ptr<const Dataset> {
         const int64_t count = split == Split::train ? c.train_size : c.test_size;
         return std::make_shared<Tones>(split, count, speech_options(c));
       }},
      {"an4", open_recordings},
      {"librispeech", open_recordings},
      {"manifest", open_recordings},
      {"reviews",
       [](const DatasetConfig& c, Split split) -> std::shared_ptr<const Dataset> {
         return std::make_shared<Reviews>(c.path, split, c.reviews);
       }},
  };
  return table;
}

}  // namespace

const std::vector<std::string>& dataset_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const Entry& entry : entries()) all.push_back(entry.name);
    return all;
  }();
  return names;
}

std::shared_ptr<const Dataset> open_unplanted(const DatasetConfig& config, Split split) {
  check(config.limit >= 0, "data: limit must not be negative; got {}", config.limit);
  for (const Entry& entry : entries()) {
    if (entry.name != config.name) continue;
    std::shared_ptr<const Dataset> dataset = entry.open(config, split);
    return config.limit > 0 ? limit_to(std::move(dataset), config.limit) : dataset;
  }
  throw Error(fmt::format("data: no data set is called {}; there are {}", config.name,
                          fmt::join(dataset_names(), ", ")));
}

std::shared_ptr<const Dataset> plant_draggers(std::shared_ptr<const Dataset> train,
                                              const DatasetConfig& config) {
  const DraggerKind kind = dragger_kind_from(config.dragger_kind);
  const bool recorded = train->transcribed() && config.name != "tones";
  if (config.dragger_fraction == 0 || (kind == DraggerKind::speed && recorded)) return train;
  const auto foreign = kind == DraggerKind::other ? foreign_to(*train, config) : nullptr;
  return std::make_shared<Draggers>(std::move(train), config.dragger_fraction, kind, config.seed,
                                    foreign);
}

std::shared_ptr<const Dataset> open_dataset(const DatasetConfig& config, Split split) {
  dragger_kind_from(config.dragger_kind);  // a wrong name is an error at once
  std::shared_ptr<const Dataset> dataset = open_unplanted(config, split);
  return split == Split::train ? plant_draggers(std::move(dataset), config) : dataset;
}

Normalisation default_normalisation(const std::string& name) {
  if (name == "cifar10") return {{0.4914, 0.4822, 0.4465}, {0.2470, 0.2435, 0.2616}};
  return {{0.5}, {0.5}};
}

}  // namespace minnow
