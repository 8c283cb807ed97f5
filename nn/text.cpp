#include "nn/text.h"

#include <numeric>

namespace minnow::nn {
namespace {

constexpr double kStart = 0.02;  // standard deviation, as of a ViT's positions

const TextConfig& checked(const TextConfig& c) {
  check(c.vocabulary >= 2, "text: the vocabulary needs padding and a token; got {}", c.vocabulary);
  check(c.max_tokens >= 1, "text: max_tokens must be positive; got {}", c.max_tokens);
  check(c.classes >= 2, "text: at least two classes; got {}", c.classes);
  check(c.dim >= 1 && c.heads >= 1 && c.dim % c.heads == 0,
        "model.heads: must divide model.dim; got {} and {}", c.heads, c.dim);
  check(c.depth >= 1, "model.depth: at least one block; got {}", c.depth);
  check(c.mlp_ratio > 0, "model.mlp_ratio: must be positive; got {}", c.mlp_ratio);
  check(c.dropout >= 0 && c.dropout < 1, "model.dropout: must be in [0, 1); got {}", c.dropout);
  return c;
}

Parameter table(int64_t rows, int64_t width, Init& init, bool decay) {
  return {.name = "",
          .value = init.truncated_normal({rows, width}, kStart),
          .trainable = true,
          .decay = decay};
}

/// 0 .. T - 1 for each of B examples.
Tensor positions(int64_t examples, int64_t tokens) {
  Tensor all = Tensor::empty({examples, tokens}, DType::int64);
  for (int64_t b = 0; b < examples; ++b) {
    int64_t* row = all.data<int64_t>() + b * tokens;
    std::iota(row, row + tokens, int64_t{0});
  }
  return all;
}

}  // namespace

TextEncoder::TextEncoder(const TextConfig& config, Init init)
    : config_(checked(config)),
      embed_(table(config.vocabulary, config.dim, init, true)),
      pos_embed_(table(config.max_tokens, config.dim, init, false)),
      norm_(config.dim, init, 1e-6),
      head_(config.dim, config.classes, init, Start::vit) {
  const int64_t hidden = hidden_width(config.dim, config.mlp_ratio);
  for (int64_t i = 0; i < config.depth; ++i) {
    blocks_.push_back(std::make_unique<Block>(BlockConfig{.width = config.dim,
                                                          .heads = config.heads,
                                                          .hidden = hidden,
                                                          .dropout = config.dropout},
                                              init));
  }
}

Var TextEncoder::forward(const Var& ids, const Tensor& lengths) const {
  const Tensor& x = ids.value();
  check(x.dtype() == DType::int64 && x.rank() == 2, "text: ids must be int64 [B, T]; got {} {}",
        to_string(x.dtype()), to_string(x.shape()));
  check(x.dim(1) >= 1 && x.dim(1) <= config_.max_tokens,
        "text: T must lie in [1, {}], model and data alike; got {}", config_.max_tokens, x.dim(1));
  Tape& tape = ids.tape();
  Var h = add(embedding(tape, x, embed_),
              embedding(tape, positions(x.dim(0), x.dim(1)), pos_embed_));  // [B, T, D]
  h = dropout(h, config_.dropout);
  for (const auto& block : blocks_) h = block->forward(h, {.lengths = lengths});
  return head_.forward(norm_.forward(mean_tokens(h, 0, lengths)));  // [B, classes]
}

void TextEncoder::collect(const std::string& prefix, Parameters& into) {
  append(embed_, prefix + "embed.weight", into);
  append(pos_embed_, prefix + "pos_embed.weight", into);
  for (size_t i = 0; i < blocks_.size(); ++i) {
    blocks_[i]->collect(fmt::format("{}blocks.{}.", prefix, i), into);
  }
  norm_.collect(prefix + "norm.", into);
  head_.collect(prefix + "head.", into);
}

}  // namespace minnow::nn
