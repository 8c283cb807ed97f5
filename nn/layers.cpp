#include "nn/layers.h"

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

}  // namespace

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
               bool with_bias)
    : options_(options) {
  const int64_t fan_in = in / options.groups * kernel * kernel;
  const double bound = fan_in_bound(fan_in);
  weight = decayed(init.uniform({out, in / options.groups, kernel, kernel}, bound));
  if (with_bias) bias = undecayed(init.uniform({out}, bound));
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

Embedding::Embedding(int64_t count, int64_t width, Init& init)
    : weight(decayed(init.normal({count, width}, 1))) {}

void Embedding::collect(const std::string& prefix, Parameters& into) {
  append(weight, prefix + "weight", into);
}

MultiHeadAttention::MultiHeadAttention(int64_t width, int64_t heads, double dropout, Init& init)
    : qkv(width, 3 * width, init, Start::vit),
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

Block::Block(int64_t width, int64_t heads, int64_t hidden, double dropout, double drop_path,
             Init& init)
    : norm1(width, init, vit_eps),
      attn(width, heads, dropout, init),
      norm2(width, init, vit_eps),
      mlp(width, hidden, dropout, init),
      drop_path_(drop_path) {}

Var Block::forward(const Var& x) const {
  const Var y = add(x, drop_path(attn.forward(norm1.forward(x)), drop_path_));
  return add(y, drop_path(mlp.forward(norm2.forward(y)), drop_path_));
}

void Block::collect(const std::string& prefix, Parameters& into) {
  norm1.collect(prefix + "norm1.", into);
  attn.collect(prefix + "attn.", into);
  norm2.collect(prefix + "norm2.", into);
  mlp.collect(prefix + "mlp.", into);
}

}  // namespace minnow::nn
