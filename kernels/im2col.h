#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "kernels/conv2d.h"
#include "kernels/window.h"

/// A convolution as products: the patches that the outputs read, side by side as the columns of a
/// matrix. Shared by the kernels of conv2d.cpp and conv2d_weight.cpp; all of it runs on the calling
/// thread.
namespace minnow::cpu {

/// Column of x that output column 0 reads with tap `v`; negative in the padding.
inline int64_t tap_offset(const ConvShape& s, int64_t v) {
  return v * s.dilation - s.padding;
}

/// Output columns that read inside of a row of x with the tap at `offset`.
inline Span inside(const ConvShape& s, int64_t offset) {
  return inside(s.out_w(), s.width, s.stride, offset);
}

/// Output rows whose patches are gathered at a time.
using RowBlock = Span;

/// Rows of such a block: its columns stay in the second-level cache.
inline int64_t block_rows(const ConvShape& s) {
  constexpr int64_t most = 98304;  // elements
  if (s.pointwise()) return s.out_h();
  return std::clamp<int64_t>(most / std::max<int64_t>(s.taps() * s.out_w(), 1), 1,
                             std::max<int64_t>(s.out_h(), 1));
}

/// Calls f(group, block) for all of one example.
template <class F>
void for_each_block(const ConvShape& s, F f) {
  const int64_t rows = block_rows(s);
  for (int64_t g = 0; g < s.groups; ++g) {
    for (int64_t begin = 0; begin < s.out_h(); begin += rows) {
      f(g, RowBlock{begin, std::min(begin + rows, s.out_h())});
    }
  }
}

/// A matrix [taps, columns] with `stride` elements between its rows.
template <class T>
struct Columns {
  T* data;
  int64_t stride, count;
};

/// The patches of one group's channels x [C / groups, H, W] for a block of output rows: x itself
/// where each patch is one element, `scratch` otherwise.
template <class T>
Columns<const T> im2col(const ConvShape& shape, RowBlock block, const T* x,
                        std::vector<T>& scratch);

/// Room for the gradient of such a matrix: `gx` itself or `scratch`.
template <class T>
Columns<T> column_room(const ConvShape& shape, RowBlock block, T* gx, std::vector<T>& scratch);

/// Adds the matrix's elements to the elements of gx [C / groups, H, W] that they were gathered
/// from.
template <class T>
void col2im_add(const ConvShape& shape, RowBlock block, const T* columns, T* gx);

}  // namespace minnow::cpu
