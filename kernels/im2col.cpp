#include "kernels/im2col.h"

namespace minnow::cpu {
namespace {

/// Calls f(row of x or -1, span, offset, place in the matrix) for every row of outputs of every
/// tap.
template <class F>
void for_each_tap_row(const ConvShape& s, RowBlock block, F f) {
  const int64_t out_w = s.out_w();
  int64_t at = 0;
  for (int64_t c = 0; c < s.channels / s.groups; ++c) {
    for (int64_t u = 0; u < s.kernel_h; ++u) {
      for (int64_t v = 0; v < s.kernel_w; ++v) {
        const int64_t offset = tap_offset(s, v);
        const Span span = inside(s, offset);
        for (int64_t i = block.begin; i < block.end; ++i, at += out_w) {
          const int64_t row = i * s.stride + tap_offset(s, u);
          f(row < 0 || row >= s.height ? -1 : c * s.height + row, span, offset, at);
        }
      }
    }
  }
}

}  // namespace

template <class T>
Columns<T> column_room(const ConvShape& s, RowBlock block, T* gx, std::vector<T>& scratch) {
  const int64_t count = (block.end - block.begin) * s.out_w();
  if (s.pointwise()) return {gx + block.begin * s.width, s.height * s.width, count};
  scratch.resize(static_cast<size_t>(std::max<int64_t>(s.taps() * block_rows(s) * s.out_w(), 1)));
  return {scratch.data(), count, count};
}

template <class T>
Columns<const T> im2col(const ConvShape& s, RowBlock block, const T* x, std::vector<T>& scratch) {
  const auto room = column_room<T>(s, block, const_cast<T*>(x), scratch);
  if (s.pointwise()) return {room.data, room.stride, room.count};
  const int64_t out_w = s.out_w(), stride = s.stride;
  for_each_tap_row(s, block,
                   [=, width = s.width](int64_t row, Span span, int64_t offset, int64_t at) {
                     T* to = room.data + at;
                     if (row < 0) {
                       std::fill_n(to, out_w, T(0));
                       return;
                     }
                     const T* from = x + row * width + offset;
                     std::fill_n(to, span.begin, T(0));
                     if (stride == 1) {
                       std::copy(from + span.begin, from + span.end, to + span.begin);
                     } else {
                       for (int64_t j = span.begin; j < span.end; ++j) to[j] = from[j * stride];
                     }
                     std::fill(to + span.end, to + out_w, T(0));
                   });
  return {room.data, room.stride, room.count};
}

template <class T>
void col2im_add(const ConvShape& s, RowBlock block, const T* columns, T* gx) {
  for_each_tap_row(
      s, block,
      [=, stride = s.stride, width = s.width](int64_t row, Span span, int64_t offset, int64_t at) {
        if (row < 0) return;
        const T* from = columns + at;
        T* to = gx + row * width + offset;
        if (stride == 1) {
#pragma omp simd
          for (int64_t j = span.begin; j < span.end; ++j) to[j] += from[j];
        } else {
          for (int64_t j = span.begin; j < span.end; ++j) to[j * stride] += from[j];
        }
      });
}

#define MINNOW_INSTANTIATE(T)                                                                 \
  template Columns<T> column_room<T>(const ConvShape&, RowBlock, T*, std::vector<T>&);        \
  template Columns<const T> im2col<T>(const ConvShape&, RowBlock, const T*, std::vector<T>&); \
  template void col2im_add<T>(const ConvShape&, RowBlock, const T*, T*);
MINNOW_INSTANTIATE(float)
MINNOW_INSTANTIATE(double)
#undef MINNOW_INSTANTIATE

}  // namespace minnow::cpu
