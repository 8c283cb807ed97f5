#include "nn/convnext.h"

#include <numeric>

namespace minnow::nn {
namespace {

constexpr double norm_eps = 1e-6;  // of timm's LayerNorms

/// Pictures [B, C, H, W] as tokens [B, H W, C], and back.
Var to_tokens(const Var& x) {
  return transpose(reshape(x, {x.dim(0), x.dim(1), x.dim(2) * x.dim(3)}));
}
Var to_pictures(const Var& tokens, int64_t height, int64_t width) {
  return reshape(transpose(tokens), {tokens.dim(0), tokens.dim(2), height, width});
}

}  // namespace

ConvNextBlock::ConvNextBlock(int64_t width, double layer_scale, double drop_path, Init& init)
    : scale_(width, layer_scale, init),
      conv_dw_(width, width, 7, {.padding = 3, .groups = width}, init, Start::vit),
      norm_(width, init, norm_eps),
      mlp_(width, 4 * width, 0, init),
      drop_path_(drop_path) {}

Var ConvNextBlock::forward(const Var& x) const {
  const Var tokens = norm_.forward(to_tokens(conv_dw_.forward(x)));  // [B, H W, C]
  const Var branch = scale_.forward(mlp_.forward(tokens));           // [B, H W, C]
  return add(x, drop_path(to_pictures(branch, x.dim(2), x.dim(3)), drop_path_));
}

void ConvNextBlock::collect(const std::string& prefix, Parameters& into) {
  scale_.collect(prefix, into);
  conv_dw_.collect(prefix + "conv_dw.", into);
  norm_.collect(prefix + "norm.", into);
  mlp_.collect(prefix + "mlp.", into);
}

ConvNext::Downsample::Downsample(int64_t width, Init& init)
    : norm(width / 2, init, norm_eps), conv(width / 2, width, 2, {.stride = 2}, init, Start::vit) {}

ConvNext::ConvNext(const ConvNextConfig& config, Init init)
    : patch_(config.patch),
      stem_(config.channels, config.width, config.patch, {.stride = config.patch}, init,
            Start::vit),
      stem_norm_(config.width, init, norm_eps),
      norm_(config.width << (config.blocks.size() - 1), init, norm_eps),
      fc_(config.width << (config.blocks.size() - 1), config.classes, init, Start::vit) {
  const int64_t all = std::accumulate(config.blocks.begin(), config.blocks.end(), int64_t{0});
  int64_t done = 0;
  for (size_t s = 0; s < config.blocks.size(); ++s) {
    const int64_t width = config.width << s;
    if (s > 0) {
      downsample_.push_back(std::make_unique<Downsample>(width, init));
    }
    stages_.emplace_back();
    for (int64_t i = 0; i < config.blocks[s]; ++i, ++done) {
      const double share = all == 1 ? 0 : static_cast<double>(done) / static_cast<double>(all - 1);
      stages_[s].push_back(std::make_unique<ConvNextBlock>(width, config.layer_scale,
                                                           config.drop_path * share, init));
    }
  }
}

Var ConvNext::forward(const Var& x, const Tensor& /*lengths*/) const {
  const Var tokens = stem_norm_.forward(patch_embed(x, stem_.weight, &*stem_.bias));
  Var h = to_pictures(tokens, x.dim(2) / patch_, x.dim(3) / patch_);
  for (size_t s = 0; s < stages_.size(); ++s) {
    if (s > 0) {
      const Downsample& down = *downsample_[s - 1];
      h = down.conv.forward(to_pictures(down.norm.forward(to_tokens(h)), h.dim(2), h.dim(3)));
    }
    for (const auto& block : stages_[s]) h = block->forward(h);
  }
  return fc_.forward(norm_.forward(global_avg_pool(h)));
}

void ConvNext::collect(const std::string& prefix, Parameters& into) {
  stem_.collect(prefix + "stem.0.", into);
  stem_norm_.collect(prefix + "stem.1.", into);
  for (size_t s = 0; s < stages_.size(); ++s) {
    const std::string stage = fmt::format("{}stages.{}.", prefix, s);
    if (s > 0) {
      downsample_[s - 1]->norm.collect(stage + "downsample.0.", into);
      downsample_[s - 1]->conv.collect(stage + "downsample.1.", into);
    }
    for (size_t i = 0; i < stages_[s].size(); ++i) {
      stages_[s][i]->collect(fmt::format("{}blocks.{}.", stage, i), into);
    }
  }
  norm_.collect(prefix + "head.norm.", into);
  fc_.collect(prefix + "head.fc.", into);
}

}  // namespace minnow::nn
