#pragma once

#include <vector>

#include "nn/layers.h"

namespace minnow::nn {

struct VitConfig {
  int64_t image = 32, patch = 4, channels = 3, classes = 10;
  int64_t dim = 192, depth = 12, heads = 3;
  double mlp_ratio = 4;
  double dropout = 0;    ///< after the positions, the projections and inside the MLPs
  double drop_path = 0;  ///< of the last block; grows linearly from 0 at the first
  bool qkv_bias = true;
  double layer_scale = 0;  ///< where the scale of each residual branch starts; 0: there is none
  bool mean_pool = false;  ///< logits from the mean over the patches, not from the class token
};

/// Vision transformer with timm's names, shapes, initialisation and LayerNorm eps of 1e-6: class
/// token, learned positions, pre-norm blocks, logits from the class token or (timm's global_pool
/// "avg", whose last norm is fc_norm) from the mean over the patches. Source: Dosovitskiy et al.,
/// "An image is worth 16x16 words", ICLR 2021.
class Vit final : public Model {
 public:
  Vit(const VitConfig& config, Init init);
  Var forward(const Var& x, const Tensor& lengths) const override;
  void collect(const std::string& prefix, Parameters& into) override;

 private:
  VitConfig config_;
  Parameter cls_token_;                  // [1, 1, D]
  Parameter pos_embed_;                  // [1, T, D]
  Parameter patch_weight_, patch_bias_;  // [D, C, p, p], [D]
  std::vector<std::unique_ptr<Block>> blocks_;
  LayerNorm norm_;
  Linear head_;
};

}  // namespace minnow::nn
