#pragma once

#include <optional>

#include "nn/module.h"

namespace minnow::nn {

/// How a Linear or Conv2d starts: timm's ViT (truncated normal of 0.02, zero bias) or PyTorch's
/// default (uniform within 1 / sqrt(fan in), weight and bias).
enum class Start { vit, fan_in };

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
         bool bias = true);
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
  MultiHeadAttention(int64_t width, int64_t heads, double dropout, Init& init);
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

/// A pre-norm transformer block: x + attn(norm1(x)), then x + mlp(norm2(x)), each branch under
/// drop-path.
class Block final : public Module {
 public:
  Block(int64_t width, int64_t heads, int64_t hidden, double dropout, double drop_path, Init& init);
  Var forward(const Var& x) const;
  void collect(const std::string& prefix, Parameters& into) override;

  LayerNorm norm1;
  MultiHeadAttention attn;
  LayerNorm norm2;
  Mlp mlp;

 private:
  double drop_path_;
};

}  // namespace minnow::nn
