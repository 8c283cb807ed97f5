#pragma once

#include <vector>

#include "nn/layers.h"

namespace minnow::nn {

struct ResNetConfig {
  int64_t channels = 3, classes = 10;
  /// torchvision's first layers for large pictures (7x7 of stride 2, then a max pool of stride 2),
  /// or one 3x3 convolution, for CIFAR's.
  bool large_stem = true;
  bool bottleneck = false;                     ///< 1x1, 3x3, 1x1 to four times the width
  std::vector<int64_t> blocks = {2, 2, 2, 2};  ///< of each stage
  int64_t width = 64;                          ///< of the first stage; each stage doubles it
  NormConfig norm = {};
};

/// A residual branch and its shortcut, with torchvision's names: conv1, bn1, conv2, bn2 and, with a
/// bottleneck, conv3, bn3; downsample.0 and .1 where the shortcut changes shape.
class ResidualBlock final : public Module {
 public:
  ResidualBlock(int64_t in, int64_t width, int64_t stride, const ResNetConfig& config, Init& init);
  Var forward(const Var& x) const;
  void collect(const std::string& prefix, Parameters& into) override;
  int64_t out() const { return out_; }

 private:
  int64_t out_;
  std::vector<std::unique_ptr<Conv2d>> convs_;
  std::vector<std::unique_ptr<Norm>> norms_;
  std::unique_ptr<Conv2d> shortcut_;
  std::unique_ptr<Norm> shortcut_norm_;
};

/// Residual network with torchvision's names, shapes and initialisation. The CIFAR variants are
/// those of the paper but for the shortcuts between stages, which are projections as in all of
/// torchvision's. Source: He et al., "Deep residual learning for image recognition", CVPR 2016.
class ResNet final : public Model {
 public:
  ResNet(const ResNetConfig& config, Init init);
  Var forward(const Var& x, const Tensor& lengths) const override;
  void collect(const std::string& prefix, Parameters& into) override;

 private:
  bool large_stem_;
  Conv2d conv1_;
  Norm bn1_;
  std::vector<std::vector<std::unique_ptr<ResidualBlock>>> stages_;
  std::unique_ptr<Linear> fc_;
};

struct WideResNetConfig {
  int64_t channels = 3, classes = 10;
  int64_t depth = 16;  ///< 6 n + 4 layers: n blocks in each of three stages
  int64_t widen = 4;   ///< the stages have 16, 32 and 64 times as many channels
  NormConfig norm = {.batch = false};
};

/// norm - ReLU - convolution, twice, beside the shortcut, which is a 1x1 convolution of the first
/// activation where the shape changes.
class PreactivationBlock final : public Module {
 public:
  PreactivationBlock(int64_t in, int64_t out, int64_t stride, const NormConfig& norm, Init& init);
  Var forward(const Var& x) const;
  void collect(const std::string& prefix, Parameters& into) override;

 private:
  Norm bn1_;
  Conv2d conv1_;
  Norm bn2_;
  Conv2d conv2_;
  std::unique_ptr<Conv2d> shortcut_;
};

/// Wide residual network for small pictures: conv1, layer1 .. layer3, bn, fc; with GroupNorm unless
/// the NormConfig says otherwise, as per-example gradients are usually studied. Source: Zagoruyko,
/// Komodakis, "Wide residual networks", BMVC 2016.
class WideResNet final : public Model {
 public:
  WideResNet(const WideResNetConfig& config, Init init);
  Var forward(const Var& x, const Tensor& lengths) const override;
  void collect(const std::string& prefix, Parameters& into) override;

 private:
  Conv2d conv1_;
  std::vector<std::vector<std::unique_ptr<PreactivationBlock>>> stages_;
  Norm bn_;
  Linear fc_;
};

}  // namespace minnow::nn
