#pragma once

#include <algorithm>

#include "kernels/conv2d.h"
#include "kernels/device.h"

/// What the CUDA kernels of conv2d.cu and conv2d_weight.cu know of a convolution. They give each
/// plane, row or result to a warp, which finds its place once; only places within a plane are left
/// to each lane, and these fit an int.
namespace minnow::cuda {

/// One channel's plane, one filter's plane, and the taps between them.
struct ConvPlane {
  explicit ConvPlane(const ConvShape& s)
      : height(static_cast<int>(s.height)),
        width(static_cast<int>(s.width)),
        out_h(static_cast<int>(s.out_h())),
        out_w(static_cast<int>(s.out_w())),
        kernel_h(static_cast<int>(s.kernel_h)),
        kernel_w(static_cast<int>(s.kernel_w)),
        stride(static_cast<int>(s.stride)),
        padding(static_cast<int>(s.padding)),
        dilation(static_cast<int>(s.dilation)) {}

  __device__ int area() const { return height * width; }
  __device__ int out_area() const { return out_h * out_w; }
  __device__ int taps() const { return kernel_h * kernel_w; }

  /// The element of x's plane that output p reads with a tap; -1 in the padding.
  __device__ int read_by(int p, int tap) const {
    const int row = p / out_w * stride + tap / kernel_w * dilation - padding;
    const int column = p % out_w * stride + tap % kernel_w * dilation - padding;
    const bool inside = row >= 0 && row < height && column >= 0 && column < width;
    return inside ? row * width + column : -1;
  }
  /// The output that reads element q of x's plane with a tap; -1 where none does.
  __device__ int reader_of(int q, int tap) const {
    const int row = q / width + padding - tap / kernel_w * dilation;
    const int column = q % width + padding - tap % kernel_w * dilation;
    const bool inside = row >= 0 && row % stride == 0 && row / stride < out_h && column >= 0 &&
                        column % stride == 0 && column / stride < out_w;
    return inside ? row / stride * out_w + column / stride : -1;
  }

  int height, width, out_h, out_w, kernel_h, kernel_w, stride, padding, dilation;
};

/// The warps of the grid, and this thread's lane.
__device__ inline int64_t grid_warp() {
  return team_first<warp_lanes>();
}
__device__ inline int64_t grid_warps() {
  return team_step<warp_lanes>();
}
__device__ inline int lane() {
  return static_cast<int>(threadIdx.x) % warp_lanes;
}
inline unsigned warp_grid_for(int64_t warps) {
  return grid_for(warps, block_threads / warp_lanes);
}

/// Examples whose patches fill the scratch memory of one pass.
inline int64_t examples_at_a_time(int64_t bytes_each) {
  constexpr int64_t most_bytes = int64_t{256} << 20;
  return std::max<int64_t>(most_bytes / std::max<int64_t>(bytes_each, 1), 1);
}

}  // namespace minnow::cuda
