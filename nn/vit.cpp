#include "nn/vit.h"

#include <cmath>

namespace minnow::nn {
namespace {

VitConfig checked(const VitConfig& c) {
  check(c.image >= 1 && c.patch >= 1 && c.image % c.patch == 0,
        "model.patch: must divide model.image; got {} and {}", c.patch, c.image);
  check(c.dim >= 1 && c.heads >= 1 && c.dim % c.heads == 0,
        "model.heads: must divide model.dim; got {} and {}", c.heads, c.dim);
  check(c.depth >= 1, "model.depth: at least one block; got {}", c.depth);
  check(c.classes >= 2, "model.classes: at least two; got {}", c.classes);
  check(c.mlp_ratio > 0, "model.mlp_ratio: must be positive; got {}", c.mlp_ratio);
  check(c.dropout >= 0 && c.dropout < 1, "model.dropout: must be in [0, 1); got {}", c.dropout);
  check(c.layer_scale >= 0, "model.layer_scale: must not be negative; got {}", c.layer_scale);
  check(c.drop_path >= 0 && c.drop_path < 1, "model.drop_path: must be in [0, 1); got {}",
        c.drop_path);
  return c;
}

}  // namespace

Vit::Vit(const VitConfig& config, Init init)
    : config_(checked(config)),
      norm_(config.dim, init, 1e-6),
      head_(config.dim, config.classes, init, Start::vit) {
  const int64_t side = config.image / config.patch, tokens = side * side + 1;
  const int64_t fan_in = config.channels * config.patch * config.patch;
  const double bound = 1 / std::sqrt(static_cast<double>(fan_in));
  const auto undecayed = [](Tensor value) {
    return Parameter{.name = "", .value = std::move(value), .trainable = true, .decay = false};
  };
  cls_token_ = undecayed(init.normal({1, 1, config.dim}, 1e-6));
  pos_embed_ = undecayed(init.truncated_normal({1, tokens, config.dim}, 0.02));
  patch_weight_ =
      undecayed(init.uniform({config.dim, config.channels, config.patch, config.patch}, bound));
  patch_weight_.decay = true;
  patch_bias_ = undecayed(init.uniform({config.dim}, bound));
  const int64_t hidden = hidden_width(config.dim, config.mlp_ratio);
  for (int64_t i = 0; i < config.depth; ++i) {
    const double share =
        config.depth == 1 ? 0 : static_cast<double>(i) / static_cast<double>(config.depth - 1);
    blocks_.push_back(std::make_unique<Block>(BlockConfig{.width = config.dim,
                                                          .heads = config.heads,
                                                          .hidden = hidden,
                                                          .dropout = config.dropout,
                                                          .drop_path = config.drop_path * share,
                                                          .qkv_bias = config.qkv_bias,
                                                          .layer_scale = config.layer_scale},
                                              init));
  }
}

Var Vit::forward(const Var& x, const Tensor& /*lengths*/) const {
  check(x.value().rank() == 4 && x.dim(1) == config_.channels && x.dim(2) == config_.image &&
            x.dim(3) == config_.image,
        "vit: pictures must be [B, {}, {}, {}]; got {}", config_.channels, config_.image,
        config_.image, to_string(x.shape()));
  Var h = patch_embed(x, patch_weight_, &patch_bias_);          // [B, T - 1, D]
  h = add_parameter(prepend_token(h, cls_token_), pos_embed_);  // [B, T, D]
  h = dropout(h, config_.dropout);
  for (const auto& block : blocks_) h = block->forward(h);
  const Var pooled = config_.mean_pool ? norm_.forward(mean_tokens(h, 1))
                                       : select_token(norm_.forward(h), 0);  // [B, D]
  return head_.forward(pooled);                                              // [B, classes]
}

void Vit::collect(const std::string& prefix, Parameters& into) {
  append(cls_token_, prefix + "cls_token", into);
  append(pos_embed_, prefix + "pos_embed", into);
  append(patch_weight_, prefix + "patch_embed.proj.weight", into);
  append(patch_bias_, prefix + "patch_embed.proj.bias", into);
  for (size_t i = 0; i < blocks_.size(); ++i) {
    blocks_[i]->collect(fmt::format("{}blocks.{}.", prefix, i), into);
  }
  norm_.collect(prefix + (config_.mean_pool ? "fc_norm." : "norm."), into);
  head_.collect(prefix + "head.", into);
}

}  // namespace minnow::nn
