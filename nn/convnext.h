#pragma once

#include <vector>

#include "nn/layers.h"

namespace minnow::nn {

struct ConvNextConfig {
  int64_t channels = 3, classes = 10;
  int64_t patch = 4;                           ///< side and stride of the first convolution
  std::vector<int64_t> blocks = {3, 3, 9, 3};  ///< of each stage
  int64_t width = 96;                          ///< of the first stage; each stage doubles it
  double drop_path = 0;       ///< of the last block; grows linearly from 0 at the first
  double layer_scale = 1e-6;  ///< where each block's scale starts
};

/// x + gamma mlp(norm(depthwise 7x7 of x)), under drop-path; x [B, C, H, W], the norm and the MLP
/// over the channels of each pixel.
class ConvNextBlock final : public Module {
 public:
  ConvNextBlock(int64_t width, double layer_scale, double drop_path, Init& init);
  Var forward(const Var& x) const;
  void collect(const std::string& prefix, Parameters& into) override;

 private:
  LayerScale scale_;
  Conv2d conv_dw_;
  LayerNorm norm_;
  Mlp mlp_;
  double drop_path_;
};

/// ConvNeXt with timm's names, shapes and initialisation. Source: Liu et al., "A ConvNet for the
/// 2020s", CVPR 2022.
class ConvNext final : public Model {
 public:
  ConvNext(const ConvNextConfig& config, Init init);
  Var forward(const Var& x, const Tensor& lengths) const override;
  void collect(const std::string& prefix, Parameters& into) override;

 private:
  /// Halves the sides between two stages.
  struct Downsample {
    Downsample(int64_t width, Init& init);
    LayerNorm norm;
    Conv2d conv;
  };

  int64_t patch_;
  Conv2d stem_;  // run as patch_embed()
  LayerNorm stem_norm_;
  std::vector<std::unique_ptr<Downsample>> downsample_;  // before every stage but the first
  std::vector<std::vector<std::unique_ptr<ConvNextBlock>>> stages_;
  LayerNorm norm_;
  Linear fc_;
};

}  // namespace minnow::nn
