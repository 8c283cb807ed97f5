#pragma once

#include <string>
#include <vector>

#include "nn/layers.h"
#include "nn/vit.h"

namespace minnow::nn {

/// Pictures flattened, then hidden layers with ReLU: layers.0, layers.1, ...
class MlpModel final : public Model {
 public:
  MlpModel(int64_t inputs, const std::vector<int64_t>& hidden, int64_t classes, Init init);
  Var forward(const Var& x) const override;
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
  Var forward(const Var& x) const override;
  void collect(const std::string& prefix, Parameters& into) override;

 private:
  Conv2d conv1_;
  GroupNorm norm1_;
  Conv2d conv2_;
  GroupNorm norm2_;
  Linear head_;
};

/// What a recipe says of the model, and what its data add: image, channels and classes.
struct ModelConfig {
  std::string name = "vit";
  VitConfig vit = {};                   ///< image, channels and classes hold for every model
  std::vector<int64_t> hidden = {256};  ///< of "mlp"
  int64_t width = 32;                   ///< of "convnet"
};

/// "vit", "mlp" or "convnet"; Error for another name.
std::unique_ptr<Model> make_model(const ModelConfig& config, uint64_t seed);

}  // namespace minnow::nn
