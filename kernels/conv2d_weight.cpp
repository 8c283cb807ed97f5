#include "kernels/conv2d_weight.h"

#include "kernels/binary.h"
#include "kernels/conv2d_library.h"
#include "kernels/gemm.h"
#include "kernels/im2col.h"
#include "kernels/launch.h"
#include "kernels/reduce.h"

namespace minnow::cpu {
namespace {

template <class T>
struct Problem {
  ConvShape shape;
  const T *x, *gy;

  int64_t size() const { return shape.filters * shape.taps(); }
  const T* image(int64_t e) const { return x + e * shape.channels * shape.height * shape.width; }
  const T* gradient(int64_t e) const { return gy + e * shape.filters * shape.out_area(); }
};

/// The product of two rows, the second one with `stride`.
template <class T>
T dot(int64_t begin, int64_t end, const T* a, const T* b, int64_t stride) {
  T sum = 0;
  if (stride == 1) {
#pragma omp simd reduction(+ : sum)
    for (int64_t j = begin; j < end; ++j) sum += a[j] * b[j];
  } else {
    for (int64_t j = begin; j < end; ++j) sum += a[j] * b[j * stride];
  }
  return sum;
}

template <class T>
void add_depthwise(const ConvShape& s, const T* x, const T* gy, T alpha, Wide<T> beta, T* sum) {
  for (int64_t f = 0; f < s.filters; ++f) {
    const T* plane = x + f / s.group_filters() * s.height * s.width;
    const T* g = gy + f * s.out_area();
    for (int64_t tap = 0; tap < s.taps(); ++tap, ++sum) {
      const int64_t offset = tap_offset(s, tap % s.kernel_w);
      const Span span = inside(s, offset);
      T total = 0;
      for (int64_t i = 0; i < s.out_h(); ++i) {
        const int64_t row = i * s.stride + tap_offset(s, tap / s.kernel_w);
        if (row < 0 || row >= s.height) continue;
        total +=
            dot(span.begin, span.end, g + i * s.out_w(), plane + row * s.width + offset, s.stride);
      }
      *sum = alpha * total + (beta == T(0) ? T(0) : beta * *sum);
    }
  }
}

/// sum = alpha (example e's share) + beta sum.
template <class T>
void add_example(const Problem<T>& p, int64_t e, T alpha, Wide<T> beta, T* sum,
                 std::vector<T>& scratch) {
  const ConvShape& s = p.shape;
  if (s.depthwise()) return add_depthwise(s, p.image(e), p.gradient(e), alpha, beta, sum);
  const int64_t filters = s.group_filters(), taps = s.taps(), out = s.out_area();
  for_each_block(s, [&](int64_t g, RowBlock block) {
    const T* xg = p.image(e) + g * (s.channels / s.groups) * s.height * s.width;
    const T* gg = p.gradient(e) + g * filters * out + block.begin * s.out_w();
    const auto columns = im2col(s, block, xg, scratch);
    gemm(Op::none, Op::transpose, filters, taps, columns.count, alpha, gg, out, columns.data,
         columns.stride, block.begin == 0 ? beta : T(1), sum + g * filters * taps, taps);
  });
}

/// The examples [begin, end) by the library: each run of those whose factor is not 0 at once. False
/// where it has no kernel, or no factor is other than 0; nothing has been done then.
template <class T>
bool add_range_by_library(const Problem<T>& p, int64_t begin, int64_t end, const T* factor,
                          Wide<T> beta, T* sum) {
  if constexpr (std::is_same_v<T, float>) {
    bool untouched = true;
    for (int64_t e = begin; e < end;) {
      int64_t next = e;
      while (next < end && (factor == nullptr || factor[next] != 0)) ++next;
      if (next == e) {
        ++e;
        continue;
      }
      ConvShape shape = p.shape;
      shape.batch = next - e;
      const T* mine = factor == nullptr ? nullptr : factor + e;
      if (!library_weight_sum(shape, p.image(e), p.gradient(e), mine, untouched ? beta : 1, sum)) {
        if (untouched) return false;
        std::vector<T> scratch;
        for (int64_t i = e; i < next; ++i) {
          add_example(p, i, mine == nullptr ? T(1) : factor[i], T(1), sum, scratch);
        }
      }
      untouched = false;
      e = next;
    }
    return !untouched;
  }
  return false;
}

/// The examples [begin, end) on the calling thread; `factor`, where there is one, holds each
/// example's coefficient.
template <class T>
void add_range(const Problem<T>& p, int64_t begin, int64_t end, const T* factor, Wide<T> beta,
               T* sum) {
  if (add_range_by_library(p, begin, end, factor, beta, sum)) return;
  std::vector<T> scratch;
  bool untouched = true;
  for (int64_t e = begin; e < end; ++e) {
    const T alpha = factor == nullptr ? T(1) : factor[e];
    if (alpha == T(0)) continue;
    add_example(p, e, alpha, untouched ? beta : T(1), sum, scratch);
    untouched = false;
  }
  if (!untouched) return;
  for (int64_t i = 0; i < p.size(); ++i) sum[i] = beta == T(0) ? T(0) : beta * sum[i];
}

/// The same over all cores: each adds up a run of the examples, and the runs are added in order.
template <class T>
void add_range_parallel(const Problem<T>& p, int64_t begin, int64_t end, const T* factor,
                        Wide<T> beta, T* sum) {
  if (add_range_by_library(p, begin, end, factor, beta, sum)) return;
  const int64_t examples = end - begin, size = p.size();
  const int64_t parts = std::clamp<int64_t>(examples, 1, omp_get_max_threads());
  std::vector<T> partial(static_cast<size_t>((parts - 1) * size));
  parallel_for(parts, 1, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      T* mine = i == 0 ? sum : partial.data() + (i - 1) * size;
      add_range(p, begin + examples * i / parts, begin + examples * (i + 1) / parts, factor,
                i == 0 ? beta : T(0), mine);
    }
  });
  for (int64_t i = 1; i < parts; ++i) add(size, sum, partial.data() + (i - 1) * size, sum);
}

/// Calls one(j, sum over the examples of a group) for every group: a group a thread, or, where
/// there are fewer groups than threads, one group after the other over all cores.
template <class F>
void for_each_group(int64_t groups, F one) {
  if (groups < omp_get_max_threads()) {
    for (int64_t j = 0; j < groups; ++j) one(j, true);
    return;
  }
  parallel_for(groups, 1, [&](int64_t begin, int64_t end) {
    for (int64_t j = begin; j < end; ++j) one(j, false);
  });
}

}  // namespace

template <class T>
void conv_sum(const ConvShape& shape, const T* x, const T* gy, Wide<T> beta, Wide<T>* sum) {
  add_range_parallel(Problem<T>{shape, x, gy}, 0, shape.batch, static_cast<const T*>(nullptr), beta,
                     sum);
}

template <class T>
void conv_group_sums(const ConvShape& shape, const Segments& segments, const T* x, const T* gy,
                     Wide<T> beta, Wide<T>* sums, double* sumsq) {
  const int64_t groups = segments.groups, *bounds = segments.bounds;
  const Problem<T> p{shape, x, gy};
  const T* whole = nullptr;
  for_each_group(groups, [&](int64_t j, bool spread) {
    T* mine = sums + j * p.size();
    const auto add_up = spread ? add_range_parallel<T> : add_range<T>;
    add_up(p, bounds[j], bounds[j + 1], whole, beta, mine);
    if (sumsq != nullptr) sumsq[j] = sum_of_squares(p.size(), mine);
  });
}

template <class T>
void conv_group_sumsq(const ConvShape& shape, const Segments& segments, const T* x, const T* gy,
                      double* sumsq) {
  const int64_t groups = segments.groups, *bounds = segments.bounds;
  const Problem<T> p{shape, x, gy};
  const T* whole = nullptr;
  for_each_group(groups, [&](int64_t j, bool spread) {
    if constexpr (std::is_same_v<T, float>) {
      ConvShape mine = shape;
      mine.batch = bounds[j + 1] - bounds[j];
      if (library_weight_sumsq(mine, p.image(bounds[j]), p.gradient(bounds[j]), sumsq[j])) return;
    }
    std::vector<T> sum(static_cast<size_t>(p.size()));
    const auto add_up = spread ? add_range_parallel<T> : add_range<T>;
    add_up(p, bounds[j], bounds[j + 1], whole, T(0), sum.data());
    sumsq[j] = sum_of_squares(p.size(), sum.data());
  });
}

template <class T>
void conv_weighted_sum(const ConvShape& shape, const Segments& segments, const T* x, const T* gy,
                       const double* c, Wide<T> beta, Wide<T>* sum) {
  const int64_t groups = segments.groups, *bounds = segments.bounds;
  std::vector<T> factor(static_cast<size_t>(shape.batch));
  for (int64_t j = 0; j < groups; ++j) {
    std::fill(factor.begin() + bounds[j], factor.begin() + bounds[j + 1], static_cast<T>(c[j]));
  }
  add_range_parallel<T>(Problem<T>{shape, x, gy}, 0, shape.batch, factor.data(), beta, sum);
}

#define MINNOW_INSTANTIATE(T)                                                                    \
  template void conv_sum<T>(const ConvShape&, const T*, const T*, T, T*);                        \
  template void conv_group_sums<T>(const ConvShape&, const Segments&, const T*, const T*, T, T*, \
                                   double*);                                                     \
  template void conv_group_sumsq<T>(const ConvShape&, const Segments&, const T*, const T*,       \
                                    double*);                                                    \
  template void conv_weighted_sum<T>(const ConvShape&, const Segments&, const T*, const T*,      \
                                     const double*, T, T*);
MINNOW_INSTANTIATE(float)
MINNOW_INSTANTIATE(double)
#undef MINNOW_INSTANTIATE

}  // namespace minnow::cpu
