#pragma once

#include <string>
#include <vector>

#include "nn/conformer.h"
#include "nn/convnext.h"
#include "nn/layers.h"
#include "nn/resnet.h"
#include "nn/text.h"
#include "nn/vit.h"

namespace minnow::nn {

/// Pictures flattened, then hidden layers with ReLU: layers.0, layers.1, ...
class MlpModel final : public Model {
 public:
  MlpModel(int64_t inputs, const std::vector<int64_t>& hidden, int64_t classes, Init init);
  Var forward(const Var& x, const Tensor& lengths) const override;
  void collect(const std::string& prefix, Parameters& into) override;

 private:
  int64_t inputs_;
  std::vector<std::unique_ptr<Linear>> layers_;
};

/// conv1 3x3 - norm1 - ReLU - max pool - conv2 3x3 of stride 2 in two groups - norm2 - ReLU -
/// global average - head, with GroupNorm: a small net whose every layer is another bilinear form.
class ConvNet final : public Model {
 public:
  ConvNet(int64_t channels, int64_t width, int64_t norm_groups, int64_t classes, Init init);
  Var forward(const Var& x, const Tensor& lengths) const override;
  void collect(const std::string& prefix, Parameters& into) override;

 private:
  Conv2d conv1_;
  GroupNorm norm1_;
  Conv2d conv2_;
  GroupNorm norm2_;
  Linear head_;
};

/// What a recipe says of the model, and what its data add: image, channels and classes of pictures,
/// features and classes of speech, vocabulary, max_tokens and classes of texts.
struct ModelConfig {
  std::string name = "vit";
  VitConfig vit = {};  ///< image, channels: of all models of pictures; classes: of all
  std::vector<int64_t> hidden = {256};  ///< of "mlp"
  /// Of "conformer"; what it shares with the vit stands there: channels, which are its features,
  /// classes, dim, depth, heads, mlp_ratio and dropout.
  ConformerConfig conformer = {};
  int64_t width = 0;          ///< channels of a conv net's first stage; 0: the usual number
  std::string stem = "auto";  ///< of resnet18, 34, 50: "large", "small", or as the pictures are
  std::string norm = "auto";  ///< of residual nets: "batch" or "group"; "auto": as published
  int64_t norm_groups = 16;
  int64_t vocabulary = 0;  ///< of "text": how many ids there are, and the longest text
  int64_t max_tokens = 256;
  std::string batchnorm = "micro_batch";  ///< "micro_batch", "frozen" or "refuse"
};

/// What config.name may be: vit, mlp, convnet, conformer, resnet18, ...
std::vector<std::string> model_names();

/// Whether the model has BatchNorm layers that take their statistics from micro-batches.
bool has_batch_statistics(const ModelConfig& config);

/// Error for a name that is not in model_names().
std::unique_ptr<Model> make_model(const ModelConfig& config, uint64_t seed);

}  // namespace minnow::nn
