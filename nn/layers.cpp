#include "nn/layers.h"

#include <algorithm>
#include <cmath>

namespace minnow::nn {
namespace {

constexpr double vit_sd = 0.02;
constexpr double vit_eps = 1e-6;  // of timm's LayerNorms

double fan_in_bound(int64_t fan_in) {
  return 1 / std::sqrt(static_cast<double>(fan_in));
}

Parameter undecayed(Tensor value) {
  return {.name = "", .value = std::move(value), .trainable = true, .decay = false};
}

Parameter decayed(Tensor value) {
  return {.name = "", .value = std::move(value), .trainable = true, .decay = true};
}

Parameter statistic(Tensor value) {
  return {
      .name = "", .value = std::move(value), .trainable = false, .decay = false, .statistic = true};
}

}  // namespace

int64_t hidden_width(int64_t dim, double ratio) {
  return std::max<int64_t>(1, std::llround(static_cast<double>(dim) * ratio));
}

Linear::Linear(int64_t in, int64_t out, Init& init, Start start, bool with_bias) {
  const double bound = fan_in_bound(in);
  weight = decayed(start == Start::vit ? init.truncated_normal({out, in}, vit_sd)
                                       : init.uniform({out, in}, bound));
  if (!with_bias) return;
  bias = undecayed(start == Start::vit ? init.constant({out}, 0) : init.uniform({out}, bound));
}

void Linear::collect(const std::string& prefix, Parameters& into) {
  append(weight, prefix + "weight", into);
  if (bias) append(*bias, prefix + "bias", into);
}

Conv2d::Conv2d(int64_t in, int64_t out, int64_t kernel, Conv2dOptions options, Init& init,
               Start start, bool with_bias)
    : options_(options) {
  const int64_t fan_in = in / options.groups * kernel * kernel, fan_out = out * kernel * kernel;
  const Shape shape = {out, in / options.groups, kernel, kernel};
  const double bound = fan_in_bound(fan_in);
  switch (start) {
    case Start::vit:
      weight = decayed(init.truncated_normal(shape, vit_sd));
      break;
    case Start::fan_in:
      weight = decayed(init.uniform(shape, bound));
      break;
    case Start::fan_out:
      weight = decayed(init.normal(shape, std::sqrt(2 / static_cast<double>(fan_out))));
      break;
  }
  if (!with_bias) return;
  bias = undecayed(start == Start::fan_in ? init.uniform({out}, bound) : init.constant({out}, 0));
}

void Conv2d::collect(const std::string& prefix, Parameters& into) {
  append(weight, prefix + "weight", into);
  if (bias) append(*bias, prefix + "bias", into);
}

LayerNorm::LayerNorm(int64_t width, Init& init, double eps)
    : weight(undecayed(init.constant({width}, 1))),
      bias(undecayed(init.constant({width}, 0))),
      eps_(eps) {}

void LayerNorm::collect(const std::string& prefix, Parameters& into) {
  append(weight, prefix + "weight", into);
  append(bias, prefix + "bias", into);
}

GroupNorm::GroupNorm(int64_t groups, int64_t channels, Init& init, double eps)
    : weight(undecayed(init.constant({channels}, 1))),
      bias(undecayed(init.constant({channels}, 0))),
      groups_(groups),
      eps_(eps) {}

void GroupNorm::collect(const std::string& prefix, Parameters& into) {
  append(weight, prefix + "weight", into);
  append(bias, prefix + "bias", into);
}

BatchNorm::BatchNorm(int64_t channels, Init& init, const BatchNormOptions& options)
    : weight(undecayed(init.constant({channels}, 1))),
      bias(undecayed(init.constant({channels}, 0))),
      running_mean(statistic(init.constant({channels}, 0))),
      running_var(statistic(init.constant({channels}, 1))),
      options_(options) {}

Var BatchNorm::forward(const Var& x, const Tensor& lengths) const {
  BatchNormOptions options = options_;
  options.lengths = lengths;
  options.frozen |= !weight.trainable && !bias.trainable;
  return batchnorm(x, weight, bias, running_mean, running_var, options);
}

void BatchNorm::collect(const std::string& prefix, Parameters& into) {
  append(weight, prefix + "weight", into);
  append(bias, prefix + "bias", into);
  append(running_mean, prefix + "running_mean", into);
  append(running_var, prefix + "running_var", into);
}

Norm::Norm(int64_t channels, const NormConfig& config, Init& init) {
  if (config.batch) {
    batch_.emplace(channels, init, BatchNormOptions{.frozen = config.frozen});
    return;
  }
  check(config.groups >= 1 && channels % config.groups == 0,
        "model.norm_groups: must divide the channels of every layer, here {}; got {}", channels,
        config.groups);
  group_.emplace(config.groups, channels, init);
}

void Norm::collect(const std::string& prefix, Parameters& into) {
  if (batch_) {
    batch_->collect(prefix, into);
  } else {
    group_->collect(prefix, into);
  }
}

LayerScale::LayerScale(int64_t width, double value, Init& init)
    : gamma(undecayed(init.constant({width}, value))) {}

void LayerScale::collect(const std::string& prefix, Parameters& into) {
  append(gamma, prefix + "gamma", into);
}

Embedding::Embedding(int64_t count, int64_t width, Init& init)
    : weight(decayed(init.normal({count, width}, 1))) {}

void Embedding::collect(const std::string& prefix, Parameters& into) {
  append(weight, prefix + "weight", into);
}

MultiHeadAttention::MultiHeadAttention(int64_t width, int64_t heads, bool qkv_bias, double dropout,
                                       Init& init)
    : qkv(width, 3 * width, init, Start::vit, qkv_bias),
      proj(width, width, init, Start::vit),
      heads_(heads),
      dropout_(dropout) {
  check(heads >= 1 && width % heads == 0,
        "attention: the width must be divisible by the heads; got {} and {}", width, heads);
}

Var MultiHeadAttention::forward(const Var& x, const AttentionOptions& options) const {
  const Var mixed = attention(qkv.forward(x), heads_, options);  // [B, T, D]
  return dropout(proj.forward(mixed), dropout_);
}

void MultiHeadAttention::collect(const std::string& prefix, Parameters& into) {
  qkv.collect(prefix + "qkv.", into);
  proj.collect(prefix + "proj.", into);
}

Mlp::Mlp(int64_t width, int64_t hidden, double dropout, Init& init)
    : fc1(width, hidden, init, Start::vit),
      fc2(hidden, width, init, Start::vit),
      dropout_(dropout) {}

Var Mlp::forward(const Var& x) const {
  // [B, T, hidden]; fc1's bias joins the GELU
  const Var hidden = dropout(bias_gelu(linear(x, fc1.weight), *fc1.bias), dropout_);
  return dropout(fc2.forward(hidden), dropout_);
}

void Mlp::collect(const std::string& prefix, Parameters& into) {
  fc1.collect(prefix + "fc1.", into);
  fc2.collect(prefix + "fc2.", into);
}

Block::Block(const BlockConfig& config, Init& init)
    : norm1(config.width, init, vit_eps),
      attn(config.width, config.heads, config.qkv_bias, config.dropout, init),
      norm2(config.width, init, vit_eps),
      mlp(config.width, config.hidden, config.dropout, init),
      drop_path_(config.drop_path) {
  if (config.layer_scale == 0) return;
  ls1.emplace(config.width, config.layer_scale, init);
  ls2.emplace(config.width, config.layer_scale, init);
}

Var Block::forward(const Var& x, const AttentionOptions& options) const {
  Var branch = attn.forward(norm1.forward(x), options);
  if (ls1) branch = ls1->forward(branch);
  const Var y = add(x, drop_path(branch, drop_path_));
  branch = mlp.forward(norm2.forward(y));
  if (ls2) branch = ls2->forward(branch);
  return add(y, drop_path(branch, drop_path_));
}

void Block::collect(const std::string& prefix, Parameters& into) {
  norm1.collect(prefix + "norm1.", into);
  attn.collect(prefix + "attn.", into);
  if (ls1) ls1->collect(prefix + "ls1.", into);
  norm2.collect(prefix + "norm2.", into);
  mlp.collect(prefix + "mlp.", into);
  if (ls2) ls2->collect(prefix + "ls2.", into);
}

}  // namespace minnow::nn
