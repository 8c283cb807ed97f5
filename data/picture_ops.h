#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "engine/tensor.h"

namespace minnow {

/// The operations of RandAugment, in torchvision's order (arXiv 1909.13719).
enum class PictureOp {
  identity,
  shear_x,
  shear_y,
  translate_x,
  translate_y,
  rotate,
  brightness,
  color,
  contrast,
  sharpness,
  posterize,
  solarize,
  autocontrast,
  equalize,
};
/// torchvision's names, in that order.
inline constexpr std::array<std::string_view, 14> kPictureOpNames{
    "Identity", "ShearX",   "ShearY",    "TranslateX", "TranslateY", "Rotate",       "Brightness",
    "Color",    "Contrast", "Sharpness", "Posterize",  "Solarize",   "AutoContrast", "Equalize"};

/// Strengths are numbered 0 .. 30; most ops do nothing at 0.
inline constexpr int64_t kStrengths = 31;

/// What strength `bin` means to an op on pictures [*, H, W]: a slope, pixels, degrees, a factor
/// less 1, bits that stay, a threshold; 0 where it means nothing. As torchvision's RandAugment.
double op_magnitude(PictureOp op, int64_t bin, int64_t H, int64_t W);
/// Whether the magnitude may also be negative.
bool op_is_signed(PictureOp op);

/// A uint8 picture [C, H, W], C = 1 or 3, after an op: byte for byte what torchvision makes of a
/// Pillow image, with nearest interpolation and black where nothing is left. May share memory with
/// `picture` where nothing changes.
Tensor apply_op(PictureOp op, double magnitude, const Tensor& picture);

/// A part of a picture, in pixels.
struct Window {
  int64_t top = 0, left = 0, height = 0, width = 0;
};

/// That part of a uint8 picture [C, H, W], enlarged to [C, H, W]: byte for byte as Pillow's
/// bilinear resize of the part. Error where it is empty or does not lie inside.
Tensor enlarged(const Tensor& picture, const Window& window);

}  // namespace minnow
