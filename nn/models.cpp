#include "nn/models.h"

namespace minnow::nn {

MlpModel::MlpModel(int64_t inputs, const std::vector<int64_t>& hidden, int64_t classes, Init init)
    : inputs_(inputs) {
  int64_t in = inputs;
  for (int64_t out : hidden) {
    check(out >= 1, "model.hidden: every layer needs a unit; got {}", out);
    layers_.push_back(std::make_unique<Linear>(in, out, init));
    in = out;
  }
  layers_.push_back(std::make_unique<Linear>(in, classes, init));
}

Var MlpModel::forward(const Var& x) const {
  Var h = reshape(x, {x.dim(0), inputs_});  // [B, C H W]
  for (size_t i = 0; i + 1 < layers_.size(); ++i) h = relu(layers_[i]->forward(h));
  return layers_.back()->forward(h);
}

void MlpModel::collect(const std::string& prefix, Parameters& into) {
  for (size_t i = 0; i < layers_.size(); ++i) {
    layers_[i]->collect(fmt::format("{}layers.{}.", prefix, i), into);
  }
}

ConvNet::ConvNet(int64_t channels, int64_t width, int64_t norm_groups, int64_t classes, Init init)
    : conv1_(channels, width, 3, {.padding = 1}, init),
      norm1_(norm_groups, width, init),
      conv2_(width, width, 3, {.stride = 2, .padding = 1, .groups = 2}, init),
      norm2_(norm_groups, width, init),
      head_(width, classes, init) {
  check(width % 2 == 0 && width % norm_groups == 0, "model.width: must be divisible by {}; got {}",
        norm_groups, width);
}

Var ConvNet::forward(const Var& x) const {
  Var h = max_pool2d(relu(norm1_.forward(conv1_.forward(x))));  // [B, W, H / 2, W / 2]
  h = relu(norm2_.forward(conv2_.forward(h)));                  // [B, W, H / 4, W / 4]
  return head_.forward(global_avg_pool(h));
}

void ConvNet::collect(const std::string& prefix, Parameters& into) {
  conv1_.collect(prefix + "conv1.", into);
  norm1_.collect(prefix + "norm1.", into);
  conv2_.collect(prefix + "conv2.", into);
  norm2_.collect(prefix + "norm2.", into);
  head_.collect(prefix + "head.", into);
}

std::unique_ptr<Model> make_model(const ModelConfig& config, uint64_t seed) {
  const VitConfig& vit = config.vit;
  if (config.name == "vit") return std::make_unique<Vit>(vit, Init(seed));
  if (config.name == "mlp") {
    return std::make_unique<MlpModel>(vit.channels * vit.image * vit.image, config.hidden,
                                      vit.classes, Init(seed));
  }
  check(config.name == "convnet", "model.name: one of vit, mlp, convnet; got \"{}\"", config.name);
  return std::make_unique<ConvNet>(vit.channels, config.width, 2, vit.classes, Init(seed));
}

}  // namespace minnow::nn
