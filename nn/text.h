#pragma once

#include <memory>
#include <vector>

#include "nn/layers.h"

namespace minnow::nn {

/// What TextEncoder is made of; its constructor throws Error, naming the key, for what does not
/// fit.
struct TextConfig {
  int64_t vocabulary = 0;    ///< V; ids are in [0, V), and 0 is padding
  int64_t max_tokens = 256;  ///< longest text
  int64_t classes = 2;
  int64_t dim = 128, depth = 2, heads = 4;
  double mlp_ratio = 4;
  double dropout = 0;  ///< after the positions, the projections and inside the MLPs
};

/// A classifier of texts: ids -> embedding + learned positions, pre-norm blocks, the mean over the
/// tokens, norm and head. Tokens at and after an example's length take no part: nothing depends on
/// their ids, and no gradient comes from them.
class TextEncoder final : public Model {
 public:
  TextEncoder(const TextConfig& config, Init init);
  /// ids [B, T] int64 -> logits [B, classes]; T up to max_tokens.
  Var forward(const Var& ids, const Tensor& lengths) const override;
  void collect(const std::string& prefix, Parameters& into) override;

 private:
  TextConfig config_;
  Parameter embed_;      // [V, D]
  Parameter pos_embed_;  // [max_tokens, D]
  std::vector<std::unique_ptr<Block>> blocks_;
  LayerNorm norm_;
  Linear head_;
};

}  // namespace minnow::nn
