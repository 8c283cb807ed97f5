#pragma once

#include "engine/parameter.h"
#include "engine/tape.h"

/// Every operation, its shapes and its rules; formulas stand in kernels/<op>.h. The leading axis is
/// the example everywhere. Each op throws Error, naming itself, the rule and the shapes that it
/// got, for inputs that do not fit.
namespace minnow {

/// x [..., in] -> [..., out]: x weight^T + bias, weight [out, in] or, as of a pointwise
/// convolution, [out, in, 1, ...], bias [out] or null.
Var linear(const Var& x, const Parameter& weight, const Parameter* bias = nullptr);

/// a [..., m, k] b [..., k, n] -> [..., m, n] with equal leading axes; a transposed operand has its
/// last two axes swapped as it lies in memory.
Var matmul(const Var& a, const Var& b, bool transpose_a = false, bool transpose_b = false);

/// Same shapes.
Var add(const Var& a, const Var& b);
Var mul(const Var& a, const Var& b);
Var scale(const Var& x, double factor);
/// x [..., C] + bias [C].
Var add_bias(const Var& x, const Parameter& bias);
/// x [B, rest...] + p, where p has the elements of `rest`, with or without leading ones: a position
/// embedding.
Var add_parameter(const Var& x, const Parameter& p);
/// x [B, rest...] + c [rest...] in the dtype of parameters: fixed positions.
Var add_constant(const Var& x, const Tensor& c);
/// x [..., C] * gamma [C]: a layer scale.
Var layer_scale(const Var& x, const Parameter& gamma);

Var relu(const Var& x);
Var gelu(const Var& x);       ///< with the normal distribution function (erf)
Var gelu_tanh(const Var& x);  ///< with the tanh approximation
Var silu(const Var& x);
Var sigmoid(const Var& x);
/// gelu(x + bias) in one pass, x [..., C], bias [C]: a dense layer's product in an MLP.
Var bias_gelu(const Var& x, const Parameter& bias);
/// x [..., 2 C] -> [..., C]: the first half times the sigmoid of the second.
Var glu(const Var& x);

/// Over the last axis.
Var softmax(const Var& x);
Var log_softmax(const Var& x);

/// Over the last axis; weight and bias [D] or null.
Var layernorm(const Var& x, const Parameter* weight, const Parameter* bias, double eps = 1e-5);
/// x [B, C, rest...], C divisible by `groups`: over the channels of a group and all of `rest`, per
/// example; weight and bias [C] or null.
Var groupnorm(const Var& x, int64_t groups, const Parameter* weight, const Parameter* bias,
              double eps = 1e-5);

/// x [B, T, C]: over all channels of the first lengths[b] frames (int64 [B] in [0, T]; undefined:
/// T), per example, and 0 after them; weight and bias [C].
Var sequencenorm(const Var& x, const Tensor& lengths, const Parameter& weight,
                 const Parameter& bias, double eps = 1e-5);

struct BatchNormOptions {
  double eps = 1e-5;
  double momentum = 0.1;  ///< share of a step's statistics in the running ones
  bool frozen = false;    ///< normalise with the running statistics in training, too
  /// int64 [B] in [0, T], of x [B, C, T]: each example's true length; undefined: all is used. What
  /// lies beyond joins no statistic, and is 0 in the output.
  Tensor lengths = {};
};
/// x [B, C, rest...], parameters [C]: each channel over the examples of a micro-batch and all of
/// `rest` while the tape's random context trains, and with the running statistics otherwise. A
/// micro-batch's output and gradient are then those of that micro-batch alone. A forward
/// pass in training moves the running statistics, in place, by all micro-batches of a step as far
/// as by one batch (kernels/batchnorm.h), even where the step is skipped afterwards.
Var batchnorm(const Var& x, const Parameter& weight, const Parameter& bias,
              const Parameter& running_mean, const Parameter& running_var,
              const BatchNormOptions& options = {});

struct AttentionOptions {
  Tensor lengths = {};  ///< [B] int64: keys at and after an example's length are masked; undefined:
                        ///< all T are read
  bool causal = false;  ///< a query sees the keys up to its own position
};
/// qkv [B, T, 3 D] packed as [3, heads, D / heads] in the last axis -> [B, T, D]: softmax(q k^T /
/// sqrt(D / heads)) v. Queries at and after an example's length give 0.
Var attention(const Var& qkv, int64_t heads, const AttentionOptions& options = {});

/// x [B, C, H, W] -> [B, (H/p) (W/p), D]: a convolution with stride = kernel = p, weight [D, C, p,
/// p], bias [D] or null; H and W divisible by p.
Var patch_embed(const Var& x, const Parameter& weight, const Parameter* bias);

struct Conv2dOptions {
  int64_t stride = 1, padding = 0, dilation = 1, groups = 1;
};
/// x [B, C, H, W] -> [B, F, H', W'], weight [F, C / groups, kh, kw], bias [F] or null.
Var conv2d(const Var& x, const Parameter& weight, const Parameter* bias,
           const Conv2dOptions& options = {});

struct Pool2dOptions {
  int64_t kernel = 2, stride = 2, padding = 0;
};
/// x [B, C, H, W]; padding never wins.
Var max_pool2d(const Var& x, const Pool2dOptions& options = {});
/// x [B, C, H, W]; padding counts as zeros in the average, as in PyTorch's default.
Var avg_pool2d(const Var& x, const Pool2dOptions& options = {});
/// x [B, C, H, W] -> [B, C].
Var global_avg_pool(const Var& x);

/// x [B, T, C] -> [B, T, C]: channel c of frame t is bias[c] plus the sum over u of weight[c, 0, u]
/// x[b, t + u - (k - 1) / 2, c], with 0 beyond both ends; weight [C, 1, k], k odd, bias [C] or
/// null.
Var depthwise_conv1d(const Var& x, const Parameter& weight, const Parameter* bias);
/// x [B, T, ...] with zeros at and after each example's length; lengths [B] int64 in [0, T].
Var mask_tokens(const Var& x, const Tensor& lengths);
/// How many outputs a convolution without padding makes of so many frames: int64 as the lengths.
Tensor window_counts(const Tensor& lengths, int64_t kernel, int64_t stride);

/// ids [B, T] int64 in [0, V), weight [V, D] -> [B, T, D].
Var embedding(Tape& tape, const Tensor& ids, const Parameter& weight);

/// Zeroes each element with probability p and scales the rest by 1 / (1 - p), while the tape's
/// random context trains; the mask is keyed by example id.
Var dropout(const Var& x, double p);
/// Zeroes whole examples with probability p and scales the rest by 1 / (1 - p), likewise.
Var drop_path(const Var& x, double p);

/// x [B, T, D] with a token (D elements) in front -> [B, T + 1, D]: the class token.
Var prepend_token(const Var& x, const Parameter& token);
/// x [B, T, D] -> [B, D]: the mean over the tokens from `first` on, of example b up to lengths[b]
/// (int64 [B] in [0, T]; undefined: T). 0 where there are none.
Var mean_tokens(const Var& x, int64_t first = 0, const Tensor& lengths = {});
/// x [B, T, D] -> [B, D]: one token.
Var select_token(const Var& x, int64_t index);

/// x [B, M, N] -> [B, N, M], copied: pictures [B, C, H W] as tokens, and back.
Var transpose(const Var& x);

/// Same elements in another shape with the same leading axis.
Var reshape(const Var& x, Shape shape);

/// x in another floating-point dtype; the gradient is converted back. In bfloat16 training the
/// pictures enter it and the logits leave it this way.
Var convert(const Var& x, DType dtype);

/// logits [B, C]; targets [B] int64 labels or [B, C] probabilities in the dtype of the logits ->
/// losses [B]. Smoothing s mixes each target with the uniform distribution: (1 - s) target + s / C.
Var cross_entropy(const Var& logits, const Tensor& targets, double smoothing = 0);

/// Connectionist temporal classification: logits [B, T, V], class 0 the blank, of which the first
/// lengths[b] frames count; targets [B, U] int64 in [1, V), of which the first target_lengths[b]
/// count -> losses [B]: -log of the probability of all alignments. Where there is none, because the
/// target does not fit into the frames, the loss is infinite and its gradient NaN, or nothing where
/// there are no frames; the micro-batch is left out (OnNonfinite).
Var ctc_loss(const Var& logits, const Tensor& lengths, const Tensor& targets,
             const Tensor& target_lengths);

}  // namespace minnow
