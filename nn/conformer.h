#pragma once

#include <optional>
#include <vector>

#include "nn/layers.h"

namespace minnow::nn {

/// What Conformer is made of; its constructor throws Error, naming the key, for what does not fit.
struct ConformerConfig {
  int64_t features = 80;  ///< F of an input frame
  int64_t classes = 32;   ///< of an output frame; class 0 is the blank
  int64_t dim = 144, depth = 4, heads = 4;
  double ffn_ratio = 4;
  int64_t conv_kernel = 31;  ///< frames that the depthwise convolution sees; odd
  /// After the positions, inside the feed-forward modules and at the end of every branch.
  double dropout = 0;
  /// Of the convolution modules: "layer", over the channels of each frame; "group", over those of
  /// all valid frames of an example (torchaudio's use_group_norm); or "batch", each channel over
  /// all valid frames of a micro-batch (torchaudio's default), see batchnorm().
  std::string conv_norm = "layer";
  bool frozen_statistics = false;        ///< "batch" takes the running ones in training, too
  std::string positions = "sinusoidal";  ///< or "none"
  int64_t subsampling = 0;               ///< channels of the subsampling convolutions; 0: dim
  /// The weight that a training loss gives to the logits of the middle layer, see
  /// forward_with_middle; the last layer's have the rest. 0: they are not wanted.
  double intermediate = 0;
};

/// Two convolutions of 3x3 and stride 2 over [T, F], without padding so that no output reads beyond
/// an example's end, each with a ReLU, then a dense layer: x [B, T, F] -> [B, T', D] with T' about
/// T / 4.
class Subsampling final : public Module {
 public:
  Subsampling(int64_t features, int64_t channels, int64_t dim, Init& init);
  Var forward(const Var& x) const;
  void collect(const std::string& prefix, Parameters& into) override;

  Conv2d conv1, conv2;
  Linear out;
};

/// LayerNorm, dense, SiLU, dense.
class ConformerFeedForward final : public Module {
 public:
  ConformerFeedForward(int64_t dim, int64_t hidden, double dropout, Init& init);
  Var forward(const Var& x) const;
  void collect(const std::string& prefix, Parameters& into) override;

 private:
  LayerNorm norm_;
  Linear fc1_, fc2_;
  double dropout_;
};

/// Self-attention with the names and initialisation of torch.nn.MultiheadAttention.
class ConformerAttention final : public Module {
 public:
  ConformerAttention(int64_t dim, int64_t heads, Init& init);
  Var forward(const Var& x, const Tensor& lengths) const;
  void collect(const std::string& prefix, Parameters& into) override;

 private:
  Parameter in_proj_weight_, in_proj_bias_;  // [3 D, D], [3 D]
  Linear out_proj_;
  int64_t heads_;
};

/// LayerNorm, pointwise convolution to 2 D, GLU, depthwise convolution, norm, SiLU, pointwise
/// convolution. What lies beyond an example's length reads as zeros.
class ConformerConvolution final : public Module {
 public:
  ConformerConvolution(const ConformerConfig& config, Init& init);
  Var forward(const Var& x, const Tensor& lengths) const;
  void collect(const std::string& prefix, Parameters& into) override;

 private:
  LayerNorm layer_norm_;
  Linear expand_;                                // [2 D, D, 1], [2 D]
  Parameter depthwise_weight_, depthwise_bias_;  // [D, 1, k], [D]
  Var normalised(const Var& x, const Tensor& lengths) const;

  std::optional<LayerNorm> norm_;        // of each frame, or its weights over those of an example
  std::optional<BatchNorm> batch_norm_;  // in its place
  Linear project_;                       // [D, D, 1], [D]
  bool per_frame_;
};

/// Half a step of feed-forward, attention, convolution, half a step of feed-forward, each added to
/// what it read, then LayerNorm.
class ConformerLayer final : public Module {
 public:
  ConformerLayer(const ConformerConfig& config, Init& init);
  /// x [B, T, D] -> [B, T, D]; lengths int64 [B] or undefined.
  Var forward(const Var& x, const Tensor& lengths) const;
  void collect(const std::string& prefix, Parameters& into) override;

 private:
  ConformerFeedForward ffn1_;
  LayerNorm self_attn_layer_norm_;
  ConformerAttention self_attn_;
  ConformerConvolution conv_module_;
  ConformerFeedForward ffn2_;
  LayerNorm final_layer_norm_;
  double dropout_;
};

/// Speech recognition: frames [B, T, F] -> logits [B, output_length(T), classes]. The layers have
/// torchaudio's names, shapes, order and initialisation ("conformer_layers.N."), but attention's
/// probabilities are never dropped, and padding is masked wherever frames mix: an example's logits
/// and gradient do not depend on what lies beyond its length. "subsample." comes before them,
/// "head." after. Source: Gulati et al., "Conformer: convolution-augmented transformer for speech
/// recognition", Interspeech 2020.
class Conformer final : public Model {
 public:
  Conformer(const ConformerConfig& config, Init init);
  Var forward(const Var& x, const Tensor& lengths) const override;

  struct Logits {
    Var last;
    Var middle = {};
  };
  /// The same, and what the head, which is shared, makes of the layer that has half of all up to
  /// it: a loss of both trains the lower layers better. Source: Lee and Watanabe, "Intermediate
  /// loss regularization for CTC-based speech recognition", ICASSP 2021.
  Logits forward_with_middle(const Var& x, const Tensor& lengths) const;

  /// 0 for fewer than seven frames.
  int64_t output_length(int64_t input_length) const override;
  void collect(const std::string& prefix, Parameters& into) override;

 private:
  Logits run(const Var& x, const Tensor& lengths, bool middle) const;
  /// The first `frames` sinusoidal positions [T, D], like x.
  Tensor positions(int64_t frames, const Var& x) const;

  ConformerConfig config_;
  Subsampling subsample_;
  std::vector<std::unique_ptr<ConformerLayer>> layers_;
  Linear head_;
  mutable Tensor positions_;  // of the longest input so far
};

}  // namespace minnow::nn
