#include "nn/resnet.h"

namespace minnow::nn {
namespace {

std::unique_ptr<Conv2d> conv(int64_t in, int64_t out, int64_t kernel, int64_t stride, Init& init) {
  return std::make_unique<Conv2d>(in, out, kernel,
                                  Conv2dOptions{.stride = stride, .padding = kernel / 2}, init,
                                  Start::fan_out, false);
}

/// Of a block's convolutions: kernel, stride and filters.
struct Layer {
  int64_t kernel, stride, out;
};

std::vector<Layer> layers_of(int64_t width, int64_t stride, bool bottleneck) {
  if (!bottleneck) return {{3, stride, width}, {3, 1, width}};
  return {{1, 1, width}, {3, stride, width}, {1, 1, 4 * width}};
}

/// The names of layer1.0, layer1.1, ..., and what is in them.
template <class Stages>
void collect_stages(const Stages& stages, const std::string& prefix, Parameters& into) {
  for (size_t s = 0; s < stages.size(); ++s) {
    for (size_t i = 0; i < stages[s].size(); ++i) {
      stages[s][i]->collect(fmt::format("{}layer{}.{}.", prefix, s + 1, i), into);
    }
  }
}

template <class Stages>
Var through_stages(const Stages& stages, Var h) {
  for (const auto& stage : stages) {
    for (const auto& block : stage) h = block->forward(h);
  }
  return h;
}

}  // namespace

ResidualBlock::ResidualBlock(int64_t in, int64_t width, int64_t stride, const ResNetConfig& config,
                             Init& init)
    : out_(config.bottleneck ? 4 * width : width) {
  int64_t channels = in;
  for (const Layer& layer : layers_of(width, stride, config.bottleneck)) {
    convs_.push_back(conv(channels, layer.out, layer.kernel, layer.stride, init));
    norms_.push_back(std::make_unique<Norm>(layer.out, config.norm, init));
    channels = layer.out;
  }
  if (stride == 1 && in == out_) return;
  shortcut_ = conv(in, out_, 1, stride, init);
  shortcut_norm_ = std::make_unique<Norm>(out_, config.norm, init);
}

Var ResidualBlock::forward(const Var& x) const {
  Var h = x;
  for (size_t i = 0; i < convs_.size(); ++i) {
    h = norms_[i]->forward(convs_[i]->forward(h));
    if (i + 1 < convs_.size()) h = relu(h);
  }
  return relu(add(h, shortcut_ ? shortcut_norm_->forward(shortcut_->forward(x)) : x));
}

void ResidualBlock::collect(const std::string& prefix, Parameters& into) {
  for (size_t i = 0; i < convs_.size(); ++i) {
    convs_[i]->collect(fmt::format("{}conv{}.", prefix, i + 1), into);
    norms_[i]->collect(fmt::format("{}bn{}.", prefix, i + 1), into);
  }
  if (!shortcut_) return;
  shortcut_->collect(prefix + "downsample.0.", into);
  shortcut_norm_->collect(prefix + "downsample.1.", into);
}

ResNet::ResNet(const ResNetConfig& config, Init init)
    : large_stem_(config.large_stem),
      conv1_(config.channels, config.width, config.large_stem ? 7 : 3,
             {.stride = config.large_stem ? 2 : 1, .padding = config.large_stem ? 3 : 1}, init,
             Start::fan_out, false),
      bn1_(config.width, config.norm, init) {
  int64_t in = config.width;
  for (size_t s = 0; s < config.blocks.size(); ++s) {
    stages_.emplace_back();
    for (int64_t i = 0; i < config.blocks[s]; ++i) {
      const int64_t stride = s > 0 && i == 0 ? 2 : 1;
      stages_[s].push_back(
          std::make_unique<ResidualBlock>(in, config.width << s, stride, config, init));
      in = stages_[s].back()->out();
    }
  }
  fc_ = std::make_unique<Linear>(in, config.classes, init);
}

Var ResNet::forward(const Var& x, const Tensor& /*lengths*/) const {
  Var h = relu(bn1_.forward(conv1_.forward(x)));
  if (large_stem_) h = max_pool2d(h, {.kernel = 3, .stride = 2, .padding = 1});
  return fc_->forward(global_avg_pool(through_stages(stages_, h)));
}

void ResNet::collect(const std::string& prefix, Parameters& into) {
  conv1_.collect(prefix + "conv1.", into);
  bn1_.collect(prefix + "bn1.", into);
  collect_stages(stages_, prefix, into);
  fc_->collect(prefix + "fc.", into);
}

PreactivationBlock::PreactivationBlock(int64_t in, int64_t out, int64_t stride,
                                       const NormConfig& norm, Init& init)
    : bn1_(in, norm, init),
      conv1_(in, out, 3, {.stride = stride, .padding = 1}, init, Start::fan_out, false),
      bn2_(out, norm, init),
      conv2_(out, out, 3, {.padding = 1}, init, Start::fan_out, false) {
  if (stride != 1 || in != out) shortcut_ = conv(in, out, 1, stride, init);
}

Var PreactivationBlock::forward(const Var& x) const {
  const Var active = relu(bn1_.forward(x));
  const Var h = conv2_.forward(relu(bn2_.forward(conv1_.forward(active))));
  return add(h, shortcut_ ? shortcut_->forward(active) : x);
}

void PreactivationBlock::collect(const std::string& prefix, Parameters& into) {
  bn1_.collect(prefix + "bn1.", into);
  conv1_.collect(prefix + "conv1.", into);
  bn2_.collect(prefix + "bn2.", into);
  conv2_.collect(prefix + "conv2.", into);
  if (shortcut_) shortcut_->collect(prefix + "downsample.", into);
}

WideResNet::WideResNet(const WideResNetConfig& config, Init init)
    : conv1_(config.channels, 16, 3, {.padding = 1}, init, Start::fan_out, false),
      bn_(64 * config.widen, config.norm, init),
      fc_(64 * config.widen, config.classes, init) {
  check(config.depth >= 10 && (config.depth - 4) % 6 == 0,
        "wide resnet: the depth must be 6 n + 4; got {}", config.depth);
  int64_t in = 16;
  for (int64_t s = 0; s < 3; ++s) {
    stages_.emplace_back();
    for (int64_t i = 0; i < (config.depth - 4) / 6; ++i) {
      const int64_t out = (16 << s) * config.widen;
      stages_.back().push_back(std::make_unique<PreactivationBlock>(
          in, out, s > 0 && i == 0 ? 2 : 1, config.norm, init));
      in = out;
    }
  }
}

Var WideResNet::forward(const Var& x, const Tensor& /*lengths*/) const {
  const Var h = through_stages(stages_, conv1_.forward(x));
  return fc_.forward(global_avg_pool(relu(bn_.forward(h))));
}

void WideResNet::collect(const std::string& prefix, Parameters& into) {
  conv1_.collect(prefix + "conv1.", into);
  collect_stages(stages_, prefix, into);
  bn_.collect(prefix + "bn.", into);
  fc_.collect(prefix + "fc.", into);
}

}  // namespace minnow::nn
