#include "nn/conformer.h"

#include <cmath>

#include "kernels/mask_tokens.h"

namespace minnow::nn {
namespace {

constexpr double norm_eps = 1e-5;                             // PyTorch's default
constexpr int64_t window = 3, stride = 2;                     // of a subsampling convolution
constexpr int64_t shortest = window + stride * (window - 1);  // frames that make one output

int64_t halved(int64_t frames) {
  return window_count(frames, window, stride);
}

Tensor quartered(const Tensor& lengths) {
  return window_counts(window_counts(lengths, window, stride), window, stride);
}

Var masked(const Var& x, const Tensor& lengths) {
  return lengths.defined() ? mask_tokens(x, lengths) : x;
}

Parameter parameter(Tensor value, bool decay) {
  return {.name = "", .value = std::move(value), .trainable = true, .decay = decay};
}

ConformerConfig checked(const ConformerConfig& c) {
  check(c.features >= shortest, "model.features: at least {}, for two convolutions; got {}",
        shortest, c.features);
  check(c.classes >= 2, "model.classes: at least two; got {}", c.classes);
  check(c.dim >= 1 && c.heads >= 1 && c.dim % c.heads == 0,
        "model.heads: must divide model.dim; got {} and {}", c.heads, c.dim);
  check(c.depth >= 1, "model.depth: at least one layer; got {}", c.depth);
  check(c.ffn_ratio > 0, "model.mlp_ratio: must be positive; got {}", c.ffn_ratio);
  check(c.conv_kernel >= 1 && c.conv_kernel % 2 == 1,
        "model.conv_kernel: must be odd and positive; got {}", c.conv_kernel);
  check(c.dropout >= 0 && c.dropout < 1, "model.dropout: must be in [0, 1); got {}", c.dropout);
  check(c.conv_norm == "layer" || c.conv_norm == "group" || c.conv_norm == "batch",
        "model.conv_norm: \"layer\", \"group\" or \"batch\"; got \"{}\"", c.conv_norm);
  check(c.positions == "sinusoidal" || c.positions == "none",
        "model.positions: \"sinusoidal\" or \"none\"; got \"{}\"", c.positions);
  check(c.intermediate >= 0 && c.intermediate < 1, "model.intermediate: must be in [0, 1); got {}",
        c.intermediate);
  check(c.intermediate == 0 || c.depth >= 2,
        "model.intermediate: {} needs model.depth of at least 2; got {}", c.intermediate, c.depth);
  check(c.subsampling >= 0, "model.subsampling: must not be negative; got {}", c.subsampling);
  return c;
}

}  // namespace

Subsampling::Subsampling(int64_t features, int64_t channels, int64_t dim, Init& init)
    : conv1(1, channels, window, {.stride = stride}, init),
      conv2(channels, channels, window, {.stride = stride}, init),
      out(channels * halved(halved(features)), dim, init) {}

Var Subsampling::forward(const Var& x) const {
  const int64_t batch = x.dim(0);
  Var h = reshape(x, {batch, 1, x.dim(1), x.dim(2)});
  h = relu(conv2.forward(relu(conv1.forward(h))));  // [B, S, T', F']
  const int64_t channels = h.dim(1), frames = h.dim(2), bands = h.dim(3);
  h = transpose(reshape(h, {batch, channels, frames * bands}));       // [B, T' F', S]
  return out.forward(reshape(h, {batch, frames, bands * channels}));  // [B, T', D]
}

void Subsampling::collect(const std::string& prefix, Parameters& into) {
  conv1.collect(prefix + "conv1.", into);
  conv2.collect(prefix + "conv2.", into);
  out.collect(prefix + "out.", into);
}

ConformerFeedForward::ConformerFeedForward(int64_t dim, int64_t hidden, double dropout, Init& init)
    : norm_(dim, init, norm_eps),
      fc1_(dim, hidden, init),
      fc2_(hidden, dim, init),
      dropout_(dropout) {}

Var ConformerFeedForward::forward(const Var& x) const {
  const Var hidden = dropout(silu(fc1_.forward(norm_.forward(x))), dropout_);  // [B, T, hidden]
  return dropout(fc2_.forward(hidden), dropout_);
}

void ConformerFeedForward::collect(const std::string& prefix, Parameters& into) {
  norm_.collect(prefix + "sequential.0.", into);
  fc1_.collect(prefix + "sequential.1.", into);
  fc2_.collect(prefix + "sequential.4.", into);
}

ConformerAttention::ConformerAttention(int64_t dim, int64_t heads, Init& init)
    : in_proj_weight_(parameter(
          init.uniform({3 * dim, dim}, std::sqrt(6 / static_cast<double>(4 * dim))), true)),
      in_proj_bias_(parameter(init.constant({3 * dim}, 0), false)),
      out_proj_(dim, dim, init),
      heads_(heads) {
  out_proj_.bias->value.fill(0);
}

Var ConformerAttention::forward(const Var& x, const Tensor& lengths) const {
  const Var qkv = linear(x, in_proj_weight_, &in_proj_bias_);  // [B, T, 3 D]
  return out_proj_.forward(attention(qkv, heads_, {.lengths = lengths}));
}

void ConformerAttention::collect(const std::string& prefix, Parameters& into) {
  append(in_proj_weight_, prefix + "in_proj_weight", into);
  append(in_proj_bias_, prefix + "in_proj_bias", into);
  out_proj_.collect(prefix + "out_proj.", into);
}

ConformerConvolution::ConformerConvolution(const ConformerConfig& config, Init& init)
    : layer_norm_(config.dim, init, norm_eps),
      expand_(config.dim, 2 * config.dim, init),
      project_(config.dim, config.dim, init),
      per_frame_(config.conv_norm == "layer") {
  const int64_t dim = config.dim, kernel = config.conv_kernel;
  if (config.conv_norm == "batch") {
    batch_norm_.emplace(dim, init, BatchNormOptions{.frozen = config.frozen_statistics});
  } else {
    norm_.emplace(dim, init, norm_eps);
  }
  const double bound = 1 / std::sqrt(static_cast<double>(kernel));
  depthwise_weight_ = parameter(init.uniform({dim, 1, kernel}, bound), true);
  depthwise_bias_ = parameter(init.uniform({dim}, bound), false);
  expand_.weight.value = expand_.weight.value.reshape({2 * dim, dim, 1});
  project_.weight.value = project_.weight.value.reshape({dim, dim, 1});
}

Var ConformerConvolution::forward(const Var& x, const Tensor& lengths) const {
  Var h = masked(glu(expand_.forward(layer_norm_.forward(x))), lengths);  // [B, T, D]
  h = depthwise_conv1d(h, depthwise_weight_, &depthwise_bias_);
  return project_.forward(silu(normalised(h, lengths)));
}

Var ConformerConvolution::normalised(const Var& x, const Tensor& lengths) const {
  if (batch_norm_) return transpose(batch_norm_->forward(transpose(x), lengths));
  return per_frame_ ? norm_->forward(x)
                    : sequencenorm(x, lengths, norm_->weight, norm_->bias, norm_eps);
}

void ConformerConvolution::collect(const std::string& prefix, Parameters& into) {
  layer_norm_.collect(prefix + "layer_norm.", into);
  expand_.collect(prefix + "sequential.0.", into);
  append(depthwise_weight_, prefix + "sequential.2.weight", into);
  append(depthwise_bias_, prefix + "sequential.2.bias", into);
  if (batch_norm_) {
    batch_norm_->collect(prefix + "sequential.3.", into);
  } else {
    norm_->collect(prefix + "sequential.3.", into);
  }
  project_.collect(prefix + "sequential.5.", into);
}

ConformerLayer::ConformerLayer(const ConformerConfig& config, Init& init)
    : ffn1_(config.dim, hidden_width(config.dim, config.ffn_ratio), config.dropout, init),
      self_attn_layer_norm_(config.dim, init, norm_eps),
      self_attn_(config.dim, config.heads, init),
      conv_module_(config, init),
      ffn2_(config.dim, hidden_width(config.dim, config.ffn_ratio), config.dropout, init),
      final_layer_norm_(config.dim, init, norm_eps),
      dropout_(config.dropout) {}

Var ConformerLayer::forward(const Var& x, const Tensor& lengths) const {
  Var h = add(x, scale(ffn1_.forward(x), 0.5));
  const Var attended = self_attn_.forward(self_attn_layer_norm_.forward(h), lengths);
  h = add(h, dropout(attended, dropout_));
  h = add(h, dropout(conv_module_.forward(h, lengths), dropout_));
  h = add(h, scale(ffn2_.forward(h), 0.5));
  return final_layer_norm_.forward(h);
}

void ConformerLayer::collect(const std::string& prefix, Parameters& into) {
  ffn1_.collect(prefix + "ffn1.", into);
  self_attn_layer_norm_.collect(prefix + "self_attn_layer_norm.", into);
  self_attn_.collect(prefix + "self_attn.", into);
  conv_module_.collect(prefix + "conv_module.", into);
  ffn2_.collect(prefix + "ffn2.", into);
  final_layer_norm_.collect(prefix + "final_layer_norm.", into);
}

Conformer::Conformer(const ConformerConfig& config, Init init)
    : config_(checked(config)),
      subsample_(config.features, config.subsampling > 0 ? config.subsampling : config.dim,
                 config.dim, init),
      head_(config.dim, config.classes, init) {
  for (int64_t i = 0; i < config.depth; ++i) {
    layers_.push_back(std::make_unique<ConformerLayer>(config, init));
  }
}

int64_t Conformer::output_length(int64_t input_length) const {
  return halved(halved(input_length));
}

Tensor Conformer::positions(int64_t frames, const Var& x) const {
  const DType dtype = wide(x.dtype());
  if (!positions_.defined() || positions_.dim(0) < frames || positions_.dtype() != dtype ||
      !(positions_.device() == x.device())) {
    const Tensor table = Tensor::empty({frames, config_.dim}, DType::float64);
    for (int64_t i = 0; i < table.numel(); ++i) {
      const int64_t t = i / config_.dim, d = i % config_.dim, pair = d / 2;
      const double share = static_cast<double>(2 * pair) / static_cast<double>(config_.dim);
      const double angle = static_cast<double>(t) * std::pow(10000.0, -share);
      table.data<double>()[i] = d % 2 == 0 ? std::sin(angle) : std::cos(angle);
    }
    positions_ = table.to(dtype).to(x.device());
  }
  return positions_.slice(0, frames);
}

Var Conformer::forward(const Var& x, const Tensor& lengths) const {
  return run(x, lengths, false).last;
}

Conformer::Logits Conformer::forward_with_middle(const Var& x, const Tensor& lengths) const {
  check(layers_.size() >= 2, "conformer: one layer has no middle");
  return run(x, lengths, true);
}

Conformer::Logits Conformer::run(const Var& x, const Tensor& lengths, bool middle) const {
  check(x.value().rank() == 3 && x.dim(2) == config_.features && x.dim(1) >= shortest,
        "conformer: frames must be [B, T, {}] with T at least {}; got {}", config_.features,
        shortest, to_string(x.shape()));
  Var h = subsample_.forward(masked(x, lengths));  // [B, T', D], once the lengths are checked
  const Tensor left = lengths.defined() ? quartered(lengths) : Tensor();
  if (config_.positions == "sinusoidal") {
    // As in Vaswani et al., "Attention is all you need": what comes in is made as large as they
    // are.
    h = scale(h, std::sqrt(static_cast<double>(config_.dim)));
    h = add_constant(h, positions(h.dim(1), h));
  }
  h = dropout(h, config_.dropout);
  Logits logits;
  for (size_t i = 0; i < layers_.size(); ++i) {
    h = layers_[i]->forward(h, left);
    if (middle && i + 1 == layers_.size() / 2) logits.middle = head_.forward(h);
  }
  logits.last = head_.forward(h);  // [B, T', classes]
  return logits;
}

void Conformer::collect(const std::string& prefix, Parameters& into) {
  subsample_.collect(prefix + "subsample.", into);
  for (size_t i = 0; i < layers_.size(); ++i) {
    layers_[i]->collect(fmt::format("{}conformer_layers.{}.", prefix, i), into);
  }
  head_.collect(prefix + "head.", into);
}

}  // namespace minnow::nn
