#include <tuple>

#include "engine/check.h"
#include "train/config.h"

namespace minnow {

namespace {

/// BatchNorm couples the examples of a micro-batch, so that one must pass the model as a whole.
void check_batchnorm(const Config& config) {
  if (!nn::has_batch_statistics(config.model)) return;
  const bool groups = config.uses_groups();
  const bool clips = config.clip.rule != "none";
  const std::string_view other =
      config.model.name == "conformer" ? "model.conv_norm=layer" : "model.norm=group";
  check(!clips || config.model.batchnorm != "refuse",
        "model.batchnorm: \"refuse\", and clip.rule = \"{}\" takes gradients of micro-batches, "
        "which the statistics of {} depend on; say \"micro_batch\" or \"frozen\", or {}",
        config.clip.rule, config.model.name, other);
  check(clips || !groups || config.clip.micro_batch == config.train.batch,
        "log.norms: looks at micro-batches of {}, from which BatchNorm would take its statistics; "
        "say clip.micro_batch={}, model.batchnorm=frozen or {}",
        config.clip.micro_batch, config.train.batch, other);
  const int64_t whole = groups ? config.clip.micro_batch : config.train.batch;
  check(config.train.wave == 0 || config.train.wave >= whole,
        "train.wave: {} examples, but BatchNorm needs the {} of {} in one piece", config.train.wave,
        whole, groups ? "clip.micro_batch" : "train.batch");
}

}  // namespace

void check_config(const Config& config) {
  const auto& [train, clip] = std::tie(config.train, config.clip);
  check(train.epochs > 0 || train.steps > 0,
        "train.epochs: nothing to do; give train.epochs or train.steps");
  check(train.batch >= clip.micro_batch,
        "train.batch: {} examples are fewer than a micro-batch, clip.micro_batch = {}", train.batch,
        clip.micro_batch);
  check(config.data.noise.size() <= 1, "data.noise: one number, or []; got {}",
        config.data.noise.size());
  check(config.data.repeats == 1 || config.data.shuffle,
        "data.repeats: {} needs data.shuffle=true, or most examples would never come",
        config.data.repeats);
  check(train.batch_frames == 0 || (config.data.shuffle && config.data.repeats == 1),
        "train.batch_frames: needs data.shuffle=true and data.repeats=1");
  check(!config.mixes() || config.partners() > 1,
        "{}: mixes pictures of one micro-batch, so {} must be 2 or more; got 1",
        train.mixup > 0 ? "train.mixup" : "train.cutmix",
        config.uses_groups() ? "clip.micro_batch" : "train.batch");
  check(config.betas.size() == 2, "optim.betas: expected two numbers; got {}", config.betas.size());
  check(config.schedule.min_lr <= config.optim.lr, "schedule.min_lr: {} is above optim.lr = {}",
        config.schedule.min_lr, config.optim.lr);
  check(clip.scope != "domain" || clip.group == "domain",
        "clip.scope: \"domain\" needs clip.group=domain, so that every micro-batch has one; got "
        "\"{}\"",
        clip.group);
  check(clip.group != "domain" || !config.mixes(),
        "clip.group: \"domain\" and mixed pictures exclude each other");
  check(config.model.name != "text" || config.precision != "bf16",
        "precision: the text model computes in f32 or tf32; got bf16");
  check(!config.optim.nesterov || config.optim.momentum > 0,
        "optim.nesterov: needs optim.momentum above 0");
  check(!config.init_new_head || !config.init_from.empty(),
        "init.new_head: needs init.from; without it every weight is new");
  const int64_t model = config.model.vit.image, data = config.data.set.image_size;
  check(model == 0 || data == 0 || model == data, "model.image: {} does not fit data.image = {}",
        model, data);
  check_batchnorm(config);
  const auto& vit = config.model.vit;
  check(config.model.name != "vit" || vit.dim % vit.heads == 0,
        "model.heads: must divide model.dim; got {} and {}", vit.heads, vit.dim);
}

}  // namespace minnow
