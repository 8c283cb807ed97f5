#pragma once

#include "engine/tensor.h"

namespace minnow {

/// The side g of the grid that the position embedding [1, 1 + g g, D] of a vit belongs to; 0 where
/// the shape is another one.
int64_t position_grid(const Shape& shape);

/// The position embedding [1, 1 + g g, D], of floating-point numbers, for a grid of another side:
/// [1, 1 + side side, D] float32. The class token's stays; the others are resampled with a
/// cubic filter (Keys, 1981, a = -0.5), widened where the grid shrinks so that nothing is skipped:
/// PyTorch's antialiased bicubic interpolation, which timm uses for this.
Tensor resize_positions(const Tensor& positions, int64_t side);

}  // namespace minnow
