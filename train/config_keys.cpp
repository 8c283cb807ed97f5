#include "train/config_keys.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "data/picture_ops.h"

namespace minnow {
namespace {

constexpr double kMostThreads = 1024;
constexpr double kMostPad = 4096;
constexpr double kMostMiB = 1 << 30;  // a pebibyte; as bytes it fits an int64_t

Limits any() {
  return {};
}
Limits at_least(double low) {
  return {.low = low};
}
Limits up_to(double high) {
  return {.low = 0, .high = high};
}
Limits above(double low) {
  return {.low = low, .low_open = true};
}
Limits share() {
  return {.low = 0, .high = 1};
}
Limits share_below_one() {
  return {.low = 0, .high = 1, .high_open = true};
}
Limits between(double low, double high) {
  return {.low = low, .high = high};
}
Limits one_of(std::vector<std::string> names) {
  return {.names = std::move(names)};
}

#define FIELD(member) [](Config& c) -> Field { return &c.member; }

std::vector<Key> model_keys() {
  return {
      {"model.name", FIELD(model.name), one_of(nn::model_names()), "the kind of model"},
      {"model.image", FIELD(model.vit.image), at_least(0),
       "side of its pictures; 0: as the data has them"},
      {"model.patch", FIELD(model.vit.patch), at_least(1), "vit, convnext_tiny: side of a patch"},
      {"model.dim", FIELD(model.vit.dim), at_least(1), "vit, text, conformer: width"},
      {"model.depth", FIELD(model.vit.depth), at_least(1), "vit, text, conformer: blocks"},
      {"model.heads", FIELD(model.vit.heads), at_least(1),
       "vit, text, conformer: attention heads; divides model.dim"},
      {"model.mlp_ratio", FIELD(model.vit.mlp_ratio), above(0),
       "vit, text, conformer: hidden units of a block's MLPs / model.dim"},
      {"model.drop_path", FIELD(model.vit.drop_path), share_below_one(),
       "vit, convnext_tiny: chance that the last block is skipped"},
      {"model.dropout", FIELD(model.vit.dropout), share_below_one(),
       "vit, text, conformer: chance that an activation is dropped"},
      {"model.qkv_bias", FIELD(model.vit.qkv_bias), any(), "vit: of the attention's first product"},
      {"model.layer_scale", FIELD(model.vit.layer_scale), at_least(0),
       "vit, convnext_tiny: where the scale of each residual branch starts; 0: none, or 1e-6"},
      {"model.mean_pool", FIELD(model.vit.mean_pool), any(),
       "vit: classify the mean over the patches, not the class token"},
      {"model.hidden", FIELD(model.hidden), at_least(1), "mlp: units of each hidden layer"},
      {"model.width", FIELD(model.width), at_least(0),
       "conv nets: channels of the first stage; 0: the usual number"},
      {"model.stem", FIELD(model.stem), one_of({"auto", "large", "small"}),
       "resnet18 to 50: first layers for large pictures or for small ones; auto: large above 64"},
      {"model.norm", FIELD(model.norm), one_of({"auto", "batch", "group"}),
       "resnet, wrn: BatchNorm or GroupNorm; auto: group for wrn16_4, batch otherwise"},
      {"model.norm_groups", FIELD(model.norm_groups), at_least(1), "resnet, wrn: of a GroupNorm"},
      {"model.batchnorm", FIELD(model.batchnorm), one_of({"micro_batch", "frozen", "refuse"}),
       "where BatchNorm takes its statistics in training: each micro-batch, the running ones, or "
       "nowhere when clip.rule groups examples"},
      {"model.conv_kernel", FIELD(model.conformer.conv_kernel), at_least(1),
       "conformer: frames that its convolutions see; odd"},
      {"model.conv_norm", FIELD(model.conformer.conv_norm), one_of({"layer", "group", "batch"}),
       "conformer: norm after that convolution: of each frame, over the frames of an utterance, or "
       "BatchNorm"},
      {"model.positions", FIELD(model.conformer.positions), one_of({"sinusoidal", "none"}),
       "conformer: what is added to tell frames apart"},
      {"model.subsampling", FIELD(model.conformer.subsampling), at_least(0),
       "conformer: channels of the two convolutions that keep every fourth frame; 0: model.dim"},
      {"model.intermediate", FIELD(model.conformer.intermediate), share_below_one(),
       "conformer: share of the training loss that is CTC of its middle layer; 0: none"},
  };
}

std::vector<Key> data_keys() {
  return {
      {"data.name", FIELD(data.set.name), one_of(dataset_names()),
       "the data set; shapes is built in"},
      {"data.path", FIELD(data.set.path), any(), "its folder; of manifest also one file"},
      {"data.image", FIELD(data.set.image_size), at_least(0),
       "side of the pictures, which imagefolder resizes and crops; 0: the data set's own, or "
       "model.image"},
      {"data.limit", FIELD(data.set.limit), at_least(0),
       "use so many examples of each split; 0: all"},
      {"data.validation", FIELD(data.validation), share_below_one(),
       "share of the training examples held out, always the same ones, and evaluated on in the "
       "place of the test split"},
      {"data.workers", FIELD(data.workers), up_to(kMostThreads),
       "threads that prepare batches; 0: between the steps"},
      {"data.shuffle", FIELD(data.shuffle), any(), "a new order in every epoch"},
      {"data.repeats", FIELD(data.repeats), between(1, 64),
       "copies of a picture, augmented each on its own, in a batch; an epoch stays as long"},
      {"data.augment", FIELD(data.augment), one_of({"none", "crop_flip", "deit", "speech"}),
       "random changes of training examples; speech: of speed, and SpecAugment"},
      {"data.pad", FIELD(data.pad), up_to(kMostPad),
       "crop_flip, deit: pixels added on every side before the crop"},
      {"data.crop", FIELD(data.crop), one_of({"auto", "pad", "resized"}),
       "deit: padded, or a part of random area and shape; auto: the former up to 64 pixels"},
      {"data.randaug_ops", FIELD(data.randaug_ops), between(0, 100),
       "deit: operations of RandAugment per picture"},
      {"data.randaug_magnitude", FIELD(data.randaug_magnitude), between(0, kStrengths - 1),
       "deit: their strength, of 0 .. 30"},
      {"data.erasing", FIELD(data.erasing), share(), "deit: chance that a rectangle becomes noise"},
      {"data.mean", FIELD(data.mean), any(),
       "of the pixels in 0..1, one or one per channel; []: the usual ones. With "
       "normalise=global, of the features, one or one per bin; []: as measured"},
      {"data.std", FIELD(data.std), above(0), "likewise, their standard deviation"},
      {"data.cache", FIELD(data.cache), up_to(kMostMiB),
       "imagefolder, speech: MiB of decoded pictures, or of features, to keep"},
      {"data.cache_dir", FIELD(data.set.speech.cache_dir), any(),
       "recordings: folder that keeps their features for other runs; empty: none"},
      {"data.train_size", FIELD(data.set.train_size), at_least(1),
       "shapes, tones: training examples"},
      {"data.test_size", FIELD(data.set.test_size), at_least(1), "shapes, tones: test examples"},
      {"data.domains", FIELD(data.set.reviews.domains), any(),
       "reviews: names of the domains to use; []: all"},
      {"data.per_domain", FIELD(data.set.reviews.per_domain), at_least(1),
       "reviews: training examples of each domain, one number for all or one for each; []: all"},
      {"data.imbalance", FIELD(data.set.reviews.imbalance), at_least(1),
       "reviews: training examples of the first domain / of the last; geometric between them"},
      {"data.vocabulary", FIELD(data.set.reviews.vocabulary), between(3, 1 << 20),
       "reviews, tokens=pieces: word pieces to learn"},
      {"data.pieces", FIELD(data.set.reviews.pieces), one_of({"bpe", "unigram"}),
       "reviews, tokens=pieces: how they are learnt"},
      {"data.max_tokens", FIELD(data.set.reviews.max_tokens), at_least(1),
       "reviews: word pieces after which a longer text ends"},
      {"data.seed", FIELD(data.set.seed), any(),
       "of what shapes and tones make, and of the draggers"},
      {"data.draggers", FIELD(data.set.dragger_fraction), share(),
       "share of the training examples spoilt and marked"},
      {"data.dragger_kind", FIELD(data.set.dragger_kind),
       one_of({"label", "noise", "mix", "duplicate", "other", "speed"}),
       "a wrong label or transcript, noise in place of the input, half of each, copies of ten "
       "examples, built-in shapes or tones in place of the input; speed: of speech, half as fast "
       "again to twice as fast"},
  };
}

std::vector<Key> speech_keys() {
  return {
      {"data.tokens", FIELD(data.set.speech.tokens), one_of({"characters", "pieces"}),
       "speech: what a recogniser spells with: letters, or data.vocabulary pieces of words"},
      {"data.rate", FIELD(data.set.speech.rate), between(4000, 192000),
       "speech: samples a second; other recordings are resampled"},
      {"data.bins", FIELD(data.set.speech.bins), between(1, 1024),
       "speech: log-mel features of a frame"},
      {"data.preemphasis", FIELD(data.set.speech.preemphasis), share_below_one(),
       "speech: share of the sample before that is taken off"},
      {"data.normalise", FIELD(data.set.speech.normalise), one_of({"utterance", "global", "none"}),
       "speech: features to mean 0 and deviation 1 over each utterance, or by data.mean and "
       "data.std"},
      {"data.most_seconds", FIELD(data.set.speech.most_seconds), above(0),
       "speech: longer recordings are left out"},
      {"data.speeds", FIELD(data.set.speech.speeds), above(0),
       "augment=speech: one of them is drawn for each utterance and epoch; [1.0]: none"},
      {"data.frequency_masks", FIELD(data.set.speech.masks.frequency_masks), between(0, 100),
       "augment=speech: bands of features that SpecAugment hides"},
      {"data.frequency_width", FIELD(data.set.speech.masks.frequency_width), between(0, 1024),
       "augment=speech: features of the widest band"},
      {"data.time_masks", FIELD(data.set.speech.masks.time_masks), between(0, 100),
       "augment=speech: stretches of time that SpecAugment hides"},
      {"data.time_share", FIELD(data.set.speech.masks.time_share), share(),
       "augment=speech: the longest stretch / the utterance"},
      {"data.noise", FIELD(data.noise), between(-100, 200),
       "speech: [10] adds noise 10 decibels below each test utterance; []: none"},
  };
}

std::vector<Key> training_keys() {
  return {
      {"train.epochs", FIELD(train.epochs), at_least(0),
       "passes over the data; or say train.steps"},
      {"train.steps", FIELD(train.steps), at_least(0), "optimizer steps, in place of train.epochs"},
      {"train.batch", FIELD(train.batch), at_least(1), "examples per step"},
      {"train.batch_frames", FIELD(train.batch_frames), at_least(0),
       "of sequences: frames per step, padding included (of recordings before data.speeds changes "
       "them), of train.batch examples at most; 0: any"},
      {"train.wave", FIELD(train.wave), at_least(0),
       "examples that pass the model at a time; 0: what fits clip.memory_budget"},
      {"train.label_smoothing", FIELD(train.label_smoothing), share(),
       "share of the target spread over all classes"},
      {"train.mixup", FIELD(train.mixup), at_least(0),
       "alpha of MixUp, which blends pairs of pictures of a micro-batch; 0: off"},
      {"train.cutmix", FIELD(train.cutmix), at_least(0),
       "alpha of CutMix, which exchanges a box between them; 0: off"},
      {"train.mix_prob", FIELD(train.mix_prob), share(), "chance that a micro-batch is mixed"},
      {"train.mix_switch", FIELD(train.mix_switch), share(),
       "chance of CutMix, where train.mixup and train.cutmix are on"},
      {"train.ema", FIELD(train.ema), share_below_one(),
       "decay d of averaged weights, which are evaluated and saved; 0: none. Update t takes min(d, "
       "(1 + t) / (10 + t))"},
      {"train.eval_every", FIELD(train.eval_every), at_least(0),
       "epochs between evaluations on the test split; 0: never"},
      {"optim.name", FIELD(optim.name), one_of({"sgd", "adam", "adamw"}), "the optimizer"},
      {"optim.lr", FIELD(optim.lr), at_least(0), "learning rate, after the warm-up"},
      {"optim.weight_decay", FIELD(optim.weight_decay), at_least(0),
       "not on biases, norms, class token, positions"},
      {"optim.momentum", FIELD(optim.momentum), share_below_one(), "sgd"},
      {"optim.nesterov", FIELD(optim.nesterov), any(), "sgd"},
      {"optim.betas", FIELD(betas), share_below_one(), "adam, adamw: decay of the two moments"},
      {"optim.eps", FIELD(optim.eps), above(0), "adam, adamw"},
      {"optim.freeze", FIELD(optim.freeze), any(),
       "prefixes of the names of weights that stay as they are, [\"patch_embed.\", \"blocks.0.\"]"},
      {"optim.layer_decay",
       FIELD(optim.layer_decay),
       {.low = 0, .high = 1, .low_open = true},
       "the learning rate of each layer / that of the layer after it; the head has optim.lr"},
      {"schedule.name", FIELD(schedule.name), one_of({"constant", "cosine", "inverse_sqrt"}),
       "of the learning rate"},
      {"schedule.warmup", FIELD(schedule.warmup), at_least(0), "steps of linear growth"},
      {"schedule.min_lr", FIELD(schedule.min_lr), at_least(0), "where cosine ends"},
  };
}

std::vector<Key> clip_keys() {
  return {
      {"clip.rule", FIELD(clip.rule),
       one_of({"none", "min", "fixed", "quantile", "automatic", "normalize"}),
       "how the gradient of each micro-batch is rescaled; min: to the smallest norm"},
      {"clip.micro_batch", FIELD(clip.micro_batch), at_least(1), "examples per micro-batch"},
      {"clip.group", FIELD(clip.group), one_of({"runs", "domain"}),
       "who shares a micro-batch: examples as they come, or those of one domain only"},
      {"clip.reduction", FIELD(clip.reduction), one_of({"mean", "sum"}),
       "of the rescaled gradients"},
      {"clip.scope", FIELD(clip.scope), one_of({"global", "layer", "domain"}),
       "one norm over all parameters, one for each, or the minimum within each domain"},
      {"clip.threshold", FIELD(clip.threshold), above(0),
       "fixed: largest norm; quantile: where it starts"},
      {"clip.quantile", FIELD(clip.quantile), share(),
       "quantile: share of the norms below the threshold"},
      {"clip.gamma", FIELD(clip.gamma), above(0), "automatic: added to the norm"},
      {"clip.on_nonfinite", FIELD(clip.on_nonfinite), one_of({"skip", "drop", "error"}),
       "an infinite loss or gradient skips the step, drops its micro-batch, or ends the run"},
      {"clip.strategy", FIELD(clip.strategy),
       one_of({"automatic", "instantiate", "norm_only", "loop"}),
       "how micro-batch gradients are computed; the result is the same"},
      {"clip.tau", FIELD(clip.tau), at_least(0),
       "rows per micro-batch from which to instantiate; 0: measured"},
      {"clip.memory_budget", FIELD(clip.memory_budget), up_to(kMostMiB),
       "MiB for micro-batch gradients"},
  };
}

std::vector<Key> run_keys() {
  return {
      {"init.from", FIELD(init_from), any(),
       "safetensors file of the first weights, or a checkpoint"},
      {"init.new_head", FIELD(init_new_head), any(),
       "take all but the classifier from init.from: for other classes"},
      {"run.dir", FIELD(run.dir), any(), "folder of the run; empty: a new one under runs/"},
      {"run.save", FIELD(run.save), any(), "safetensors file for the last weights"},
      {"run.resume", FIELD(run.resume), any(),
       "true: go on with the run in run.dir; or a run folder or checkpoint"},
      {"run.checkpoint_every", FIELD(run.checkpoint_every), at_least(0),
       "steps between checkpoints; 0: after every epoch"},
      {"run.keep", FIELD(run.keep), at_least(0), "checkpoints to keep, the newest ones; 0: all"},
      {"log.norms", FIELD(log.norms), any(),
       "record the norm and coefficient of every micro-batch"},
      {"log.grad_norm", FIELD(log.grad_norm), any(),
       "record the norm of the update, the (clipped) mean gradient, as grad_norm"},
      {"log.debug", FIELD(log.debug), any(),
       "say in the log of every step how much of its batch is padding, and which micro-batch "
       "gradients were written out"},
      {"log.every", FIELD(log.every), at_least(1), "steps between records"},
      {"log.tensorboard", FIELD(log.tensorboard), any(), "write the records for TensorBoard, too"},
      {"log.report", FIELD(log.report), any(), "write report.html at every evaluation"},
  };
}

#undef FIELD

/// `most` where it is that or more, as the lengths may tell at once.
int64_t edit_distance(std::string_view a, std::string_view b, int64_t most) {
  if (std::abs(std::ssize(a) - std::ssize(b)) >= most) return most;
  std::vector<int64_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (size_t i = 0; i < a.size(); ++i) {
    int64_t diagonal = std::exchange(row[0], static_cast<int64_t>(i) + 1);
    for (size_t j = 0; j < b.size(); ++j) {
      const int64_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = std::exchange(row[j + 1], std::min({row[j] + 1, row[j + 1] + 1, replaced}));
    }
  }
  return std::min(row.back(), most);
}

std::string_view last_part(std::string_view name) {
  return name.substr(name.rfind('.') + 1);
}

void check_number(const Key& key, double value, const std::string& where) {
  const Limits& limits = key.limits;
  check(std::isfinite(value), "{}{}: must be finite; got {}", where, key.name, value);
  const bool ok = (limits.low_open ? value > limits.low : value >= limits.low) &&
                  (limits.high_open ? value < limits.high : value <= limits.high);
  if (ok) return;
  const std::string low = fmt::format("{} {}", limits.low_open ? "above" : "at least", limits.low);
  const std::string high =
      fmt::format("{} {}", limits.high_open ? "below" : "at most", limits.high);
  throw Error(fmt::format("{}{}: must be {}{}; got {}", where, key.name, low,
                          std::isfinite(limits.high) ? " and " + high : "", value));
}

}  // namespace

const std::vector<Key>& config_keys() {
  static const std::vector<Key> table = [] {
    std::vector<Key> all{
        {"seed", [](Config& c) -> Field { return &c.seed; }, any(),
         "of weights, order, dropout and augmentation"},
        {"device", [](Config& c) -> Field { return &c.device; }, one_of({"auto", "cpu", "cuda"}),
         "where to compute; auto: a GPU where one can be used"},
        {"precision", [](Config& c) -> Field { return &c.precision; },
         one_of({"f32", "tf32", "bf16"}),
         "of products; bf16: of activations, too. tf32 and bf16 need a GPU"},
        {"threads", [](Config& c) -> Field { return &c.threads; }, up_to(kMostThreads),
         "processor cores to use; 0: OMP_NUM_THREADS, or all"},
    };
    for (const auto& group :
         {model_keys(), data_keys(), speech_keys(), training_keys(), clip_keys(), run_keys()}) {
      all.insert(all.end(), group.begin(), group.end());
    }
    return all;
  }();
  return table;
}

const Key* find_key(std::string_view name) {
  for (const Key& key : config_keys()) {
    if (key.name == name) return &key;
  }
  return nullptr;
}

std::string nearest_key(std::string_view name) {
  std::string nearest;
  auto least = static_cast<int64_t>(std::max<size_t>(2, name.size() / 3)) + 1;
  for (const Key& key : config_keys()) {
    // `lr` alone, or in another section, means optim.lr, and `epoch` train.epochs.
    const int64_t end = 1 + edit_distance(last_part(name), last_part(key.name), least);
    const int64_t distance = std::min(end, edit_distance(name, key.name, least));
    if (distance < least) {
      least = distance;
      nearest = key.name;
    }
  }
  return nearest;
}

std::string type_name(const Field& field) {
  static const char* const names[] = {"an integer",        "an integer",       "a number",
                                      "true or false",     "a string",         "a list of integers",
                                      "a list of numbers", "a list of strings"};
  return names[field.index()];
}

bool is_list(const Field& field) {
  return std::holds_alternative<std::vector<int64_t>*>(field) ||
         std::holds_alternative<std::vector<double>*>(field) ||
         std::holds_alternative<std::vector<std::string>*>(field);
}

void check_limits(const Key& key, const Field& field, const std::string& where) {
  std::visit(
      [&](auto* value) {
        using T = std::remove_pointer_t<decltype(value)>;
        if constexpr (std::is_same_v<T, std::string>) {
          const auto& names = key.limits.names;
          check(names.empty() || std::find(names.begin(), names.end(), *value) != names.end(),
                "{}{}: one of {}; got \"{}\"", where, key.name, fmt::join(names, ", "), *value);
        } else if constexpr (std::is_arithmetic_v<T>) {
          if constexpr (!std::is_same_v<T, bool>)
            check_number(key, static_cast<double>(*value), where);
        } else if constexpr (!std::is_same_v<T, std::vector<std::string>>) {
          for (auto element : *value) check_number(key, static_cast<double>(element), where);
        }
      },
      field);
}

}  // namespace minnow
