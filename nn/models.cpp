#include "nn/models.h"

#include <fmt/ranges.h>

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

Var MlpModel::forward(const Var& x, const Tensor& /*lengths*/) const {
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

Var ConvNet::forward(const Var& x, const Tensor& /*lengths*/) const {
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

namespace {

struct ResNetVariant {
  std::string_view name;
  bool large, bottleneck;  // for large pictures, as ImageNet's
  std::vector<int64_t> blocks;
};

/// torchvision's, and those of the paper for CIFAR: 6 n + 2 layers.
const std::vector<ResNetVariant>& resnets() {
  static const std::vector<ResNetVariant> all = {{"resnet18", true, false, {2, 2, 2, 2}},
                                                 {"resnet34", true, false, {3, 4, 6, 3}},
                                                 {"resnet50", true, true, {3, 4, 6, 3}},
                                                 {"resnet20", false, false, {3, 3, 3}},
                                                 {"resnet56", false, false, {9, 9, 9}}};
  return all;
}

const ResNetVariant* find_resnet(std::string_view name) {
  for (const ResNetVariant& variant : resnets()) {
    if (variant.name == name) return &variant;
  }
  return nullptr;
}

constexpr std::string_view wide_resnet = "wrn16_4";

bool is_batch(const ModelConfig& config) {
  if (config.name == "conformer") return config.conformer.conv_norm == "batch";
  if (config.name == wide_resnet) return config.norm == "batch";
  return find_resnet(config.name) != nullptr && config.norm != "group";
}

NormConfig norm_of(const ModelConfig& config) {
  return {.batch = is_batch(config),
          .groups = config.norm_groups,
          .frozen = config.batchnorm == "frozen"};
}

int64_t width_or(const ModelConfig& config, int64_t usual) {
  return config.width > 0 ? config.width : usual;
}

ResNetConfig resnet_config(const ResNetVariant& variant, const ModelConfig& config) {
  constexpr int64_t small_picture = 64;
  check(variant.large || config.stem != "large", "model.stem: {} has the small one; got large",
        variant.name);
  const bool large =
      config.stem == "auto" ? config.vit.image > small_picture : config.stem == "large";
  return {.channels = config.vit.channels,
          .classes = config.vit.classes,
          .large_stem = variant.large && large,
          .bottleneck = variant.bottleneck,
          .blocks = variant.blocks,
          .width = width_or(config, variant.large ? 64 : 16),
          .norm = norm_of(config)};
}

}  // namespace

std::vector<std::string> model_names() {
  std::vector<std::string> names = {"vit", "mlp", "convnet", "conformer"};
  for (const ResNetVariant& variant : resnets()) names.emplace_back(variant.name);
  names.emplace_back(wide_resnet);
  names.emplace_back("convnext_tiny");
  names.emplace_back("text");
  return names;
}

bool has_batch_statistics(const ModelConfig& config) {
  return is_batch(config) && config.batchnorm != "frozen";
}

std::unique_ptr<Model> make_model(const ModelConfig& config, uint64_t seed) {
  const VitConfig& vit = config.vit;
  const Init init(seed);
  if (config.name == "vit") return std::make_unique<Vit>(vit, init);
  if (config.name == "mlp") {
    return std::make_unique<MlpModel>(vit.channels * vit.image * vit.image, config.hidden,
                                      vit.classes, init);
  }
  if (config.name == "convnet") {
    return std::make_unique<ConvNet>(vit.channels, width_or(config, 32), 2, vit.classes, init);
  }
  if (config.name == "conformer") {
    ConformerConfig conformer = config.conformer;
    conformer.features = vit.channels;
    conformer.classes = vit.classes;
    conformer.dim = vit.dim;
    conformer.depth = vit.depth;
    conformer.heads = vit.heads;
    conformer.ffn_ratio = vit.mlp_ratio;
    conformer.dropout = vit.dropout;
    conformer.frozen_statistics = config.batchnorm == "frozen";
    return std::make_unique<Conformer>(conformer, init);
  }
  if (const ResNetVariant* variant = find_resnet(config.name)) {
    return std::make_unique<ResNet>(resnet_config(*variant, config), init);
  }
  if (config.name == "text") {
    const TextConfig text{.vocabulary = config.vocabulary,
                          .max_tokens = config.max_tokens,
                          .classes = vit.classes,
                          .dim = vit.dim,
                          .depth = vit.depth,
                          .heads = vit.heads,
                          .mlp_ratio = vit.mlp_ratio,
                          .dropout = vit.dropout};
    return std::make_unique<TextEncoder>(text, init);
  }
  if (config.name == wide_resnet) {
    const WideResNetConfig wide{
        .channels = vit.channels, .classes = vit.classes, .norm = norm_of(config)};
    return std::make_unique<WideResNet>(wide, init);
  }
  check(config.name == "convnext_tiny", "model.name: one of {}; got \"{}\"",
        fmt::join(model_names(), ", "), config.name);
  ConvNextConfig convnext{.channels = vit.channels,
                          .classes = vit.classes,
                          .patch = vit.patch,
                          .width = width_or(config, 96),
                          .drop_path = vit.drop_path};
  if (vit.layer_scale > 0) convnext.layer_scale = vit.layer_scale;
  return std::make_unique<ConvNext>(convnext, init);
}

}  // namespace minnow::nn
