#pragma once

#include <optional>

#include "nn/module.h"

namespace minnow::nn {

/// How a Linear or Conv2d starts: timm's ViT (truncated normal of 0.02, zero bias), PyTorch's
/// default (uniform within 1 / sqrt(fan in), weight and bias), or, Conv2d only, torchvision's
/// ResNet (normal with variance 2 / fan out, zero bias).
enum class Start { vit, fan_in, fan_out };

/// Width of the hidden layer of an MLP on `dim` numbers: ratio dim, rounded, and at least 1.
int64_t hidden_width(int64_t dim, double ratio);

/// x [..., in] -> [..., out].
class Linear final : public Module {
 public:
  Linear(int64_t in, int64_t out, Init& init, Start start = Start::fan_in, bool bias = true);
  Var forward(const Var& x) const { return linear(x, weight, bias ? &*bias : nullptr); }
  void collect(const std::string& prefix, Parameters& into) override;

  Parameter weight;               ///< [out, in]
  std::optional<Parameter> bias;  ///< [out]
};

/// x [B, C, H, W] -> [B, F, H', W'].
class Conv2d final : public Module {
 public:
  Conv2d(int64_t in, int64_t out, int64_t kernel, Conv2dOptions options, Init& init,
         Start start = Start::fan_in, bool bias = true);
  Var forward(const Var& x) const { return conv2d(x, weight, bias ? &*bias : nullptr, options_); }
  void collect(const std::string& prefix, Parameters& into) override;

  Parameter weight;               ///< [F, C / groups, k, k]
  std::optional<Parameter> bias;  ///< [F]

 private:
  Conv2dOptions options_;
};

/// Over the last axis.
class LayerNorm final : public Module {
 public:
  LayerNorm(int64_t width, Init& init, double eps);
  Var forward(const Var& x) const { return layernorm(x, &weight, &bias, eps_); }
  void collect(const std::string& prefix, Parameters& into) override;

  Parameter weight, bias;  ///< [D]

 private:
  double eps_;
};

/// Over the channels of each of `groups` groups, per example.
class GroupNorm final : public Module {
 public:
  GroupNorm(int64_t groups, int64_t channels, Init& init, double eps = 1e-5);
  Var forward(const Var& x) const { return groupnorm(x, groups_, &weight, &bias, eps_); }
  void collect(const std::string& prefix, Parameters& into) override;

  Parameter weight, bias;  ///< [C]

 private:
  int64_t groups_;
  double eps_;
};

/// Over the examples of a micro-batch, see batchnorm(). The running statistics are parameters that
/// are not trained; PyTorch's num_batches_tracked, which nothing reads, is left out.
class BatchNorm final : public Module {
 public:
  BatchNorm(int64_t channels, Init& init, const BatchNormOptions& options = {});
  /// With weight and bias frozen the running statistics are, too.
  /// lengths as in BatchNormOptions.
  Var forward(const Var& x, const Tensor& lengths = {}) const;
  void collect(const std::string& prefix, Parameters& into) override;

  Parameter weight, bias;               ///< [C]
  Parameter running_mean, running_var;  ///< [C]

 private:
  BatchNormOptions options_;
};

/// The norm layers of a conv net.
struct NormConfig {
  bool batch = true;    ///< BatchNorm; false: GroupNorm
  int64_t groups = 16;  ///< of a GroupNorm; divides the channels of every layer
  bool frozen = false;  ///< BatchNorm normalises with its running statistics in training, too
};

/// A BatchNorm or a GroupNorm, as the NormConfig says.
class Norm final : public Module {
 public:
  Norm(int64_t channels, const NormConfig& config, Init& init);
  Var forward(const Var& x) const { return batch_ ? batch_->forward(x) : group_->forward(x); }
  void collect(const std::string& prefix, Parameters& into) override;

 private:
  std::optional<BatchNorm> batch_;
  std::optional<GroupNorm> group_;
};

/// x [..., C] * gamma, which starts as `value`. Source: Touvron et al., "Going deeper with image
/// transformers", ICCV 2021.
class LayerScale final : public Module {
 public:
  LayerScale(int64_t width, double value, Init& init);
  Var forward(const Var& x) const { return layer_scale(x, gamma); }
  void collect(const std::string& prefix, Parameters& into) override;

  Parameter gamma;  ///< [C]
};

/// ids [B, T] -> [B, T, D].
class Embedding final : public Module {
 public:
  Embedding(int64_t count, int64_t width, Init& init);
  Var forward(Tape& tape, const Tensor& ids) const { return embedding(tape, ids, weight); }
  void collect(const std::string& prefix, Parameters& into) override;

  Parameter weight;  ///< [V, D], standard normal as in PyTorch
};

/// Self-attention with timm's names: qkv in one product, then the projection.
class MultiHeadAttention final : public Module {
 public:
  MultiHeadAttention(int64_t width, int64_t heads, bool qkv_bias, double dropout, Init& init);
  /// x [B, T, D] -> [B, T, D].
  Var forward(const Var& x, const AttentionOptions& options = {}) const;
  void collect(const std::string& prefix, Parameters& into) override;

  Linear qkv, proj;

 private:
  int64_t heads_;
  double dropout_;
};

/// fc1, GELU, fc2.
class Mlp final : public Module {
 public:
  Mlp(int64_t width, int64_t hidden, double dropout, Init& init);
  Var forward(const Var& x) const;
  void collect(const std::string& prefix, Parameters& into) override;

  Linear fc1, fc2;

 private:
  double dropout_;
};

struct BlockConfig {
  int64_t width = 0, heads = 0, hidden = 0;
  double dropout = 0, drop_path = 0;
  bool qkv_bias = true;
  double layer_scale = 0;  ///< where each branch's scale starts; 0: it has none
};

/// A pre-norm transformer block: x + ls1(attn(norm1(x))), then x + ls2(mlp(norm2(x))), each branch
/// under drop-path.
class Block final : public Module {
 public:
  Block(const BlockConfig& config, Init& init);
  Var forward(const Var& x, const AttentionOptions& options = {}) const;
  void collect(const std::string& prefix, Parameters& into) override;

  LayerNorm norm1;
  MultiHeadAttention attn;
  std::optional<LayerScale> ls1;
  LayerNorm norm2;
  Mlp mlp;
  std::optional<LayerScale> ls2;

 private:
  double drop_path_;
};

}  // namespace minnow::nn
