#include <algorithm>
#include <vector>

#include "kernels/conv2d_weight.h"
#include "kernels/conv_plane.h"
#include "kernels/cudnn_graph.h"
#include "kernels/device.h"
#include "kernels/gemm.h"
#include "kernels/outer.h"
#include "kernels/reduce.h"

/// A convolution's weight gradient is the outer product of outer.h once its operands lie in rows,
/// one for each place of each example: A [examples * out_area, taps], the patches of x, and
/// G [examples * out_area, filters], gy transposed. A group of examples is a run of such rows. They
/// are made in scratch memory, for one convolution group and as many examples at a time as it
/// takes; this costs writing and reading taps * out_area elements an example. Depthwise
/// convolutions have kernels of their own; cuDNN, which knows no groups of examples, does the sum
/// over all of them where it has a plan.
namespace minnow::cuda {
namespace {

/// The coefficients of a weighted sum; without c, 1 for every example.
struct Weights {
  __device__ double of(int64_t example) const {
    return c == nullptr ? 1 : c[segment_of(example, groups, bounds)];
  }
  const double* c = nullptr;
  int64_t groups = 0;
  const int64_t* bounds = nullptr;  ///< on the device
};

/// Row e * out_area + p of `rows` holds the patch of output p of example first + e; 0 where the
/// example's weight is 0. `x` is the first channel of example 0, `stride` the distance between
/// examples. A warp a row, tap by tap: patches overlap, so most of what it reads is in a cache; it
/// writes each element once.
template <class T>
__global__ void patch_rows_kernel(ConvPlane plane, int64_t first, int64_t examples,
                                  int64_t channels, int64_t stride, Weights weights, const T* x,
                                  T* rows) {
  const int out = plane.out_area(), kernel = plane.taps();
  const int taps = static_cast<int>(channels) * kernel;
  for (int64_t i = grid_warp(); i < examples * out; i += grid_warps()) {
    const int64_t e = first + i / out;
    const bool used = static_cast<Wide<T>>(weights.of(e)) != 0;
    const int p = static_cast<int>(i % out);
    for (int t = lane(); t < taps; t += warp_lanes) {
      const int q = used ? plane.read_by(p, t % kernel) : -1;
      const int64_t channel = t / kernel;
      rows[i * taps + t] = q >= 0 ? x[e * stride + channel * plane.area() + q] : narrow<T>(0);
    }
  }
}

constexpr int square = 32;  // both sides of it are whole warps' accesses

/// rows[(e * area + p) * channels + k] = w x[(first + e) * stride + k * area + p] with w the
/// example's weight, or, unless `scaled`, 1 where that is not 0; x is not read where it is 0. A
/// block a square, turned in shared memory, so that reads and writes both run along memory; each
/// element is read and written once.
template <class T>
__global__ void transpose_kernel(int64_t first, int64_t examples, int64_t channels, int64_t area,
                                 int64_t stride, Weights weights, bool scaled, const T* x,
                                 T* rows) {
  MINNOW_SHARED(T, turned, [square][square + 1]);
  const int64_t across = ceil_div(area, square), down = ceil_div(channels, square);
  const int column = static_cast<int>(threadIdx.x) % square;
  const int begin = static_cast<int>(threadIdx.x) / square;
  const int step = static_cast<int>(blockDim.x) / square;
  for (int64_t i = blockIdx.x; i < examples * across * down; i += gridDim.x) {
    const int64_t e = i / (across * down);
    const int64_t p = i % across * square, k = i / across % down * square;
    const auto weight = static_cast<Wide<T>>(weights.of(first + e));
    const Wide<T> factor = scaled ? weight : Wide<T>(1);
    const T* from = x + (first + e) * stride;
    for (int row = begin; row < square; row += step) {
      if (k + row >= channels || p + column >= area) continue;
      turned[row][column] =
          narrow<T>(weight == 0 ? Wide<T>(0) : factor * widen(from[(k + row) * area + p + column]));
    }
    __syncthreads();
    for (int row = begin; row < square; row += step) {
      if (p + row >= area || k + column >= channels) continue;
      rows[(e * area + p + row) * channels + k + column] = turned[column][row];
    }
    __syncthreads();  // the next square takes its place
  }
}

/// to[i] = (bounds[i] - bounds[0]) * scale: groups of examples as groups of rows.
__global__ void scale_bounds_kernel(int64_t count, const int64_t* bounds, int64_t scale,
                                    int64_t* to) {
  for (int64_t i = grid_thread(); i < count; i += grid_threads()) {
    to[i] = (bounds[i] - bounds[0]) * scale;
  }
}

/// sum[i] = the sum of column i of parts [count, size], in order, + beta * sum[i]. Reads each part
/// once.
template <class T>
__global__ void add_parts_kernel(int64_t count, int64_t size, const T* parts, T beta, T* sum) {
  for (int64_t i = grid_thread(); i < size; i += grid_threads()) {
    T total = 0;
    for (int64_t k = 0; k < count; ++k) total += parts[k * size + i];
    sum[i] = total + (beta == 0 ? T(0) : beta * sum[i]);
  }
}

/// sums[j, f, tap] = sum over the examples of run j of weight * gy[e, f, :] . x[e, channel, tap's
/// places] + beta * sums, for a depthwise convolution. Run j holds the examples bounds[j] ..
/// bounds[j + 1], or, without bounds, its share of `batch`. A warp a number: 2 out_area flops an
/// example; the warps of neighbouring taps read the same planes, from memory once and then from the
/// caches.
template <class T>
__global__ void depthwise_sums_kernel(ConvPlane plane, int64_t runs, const int64_t* bounds,
                                      int64_t batch, int64_t filters, int64_t filters_each,
                                      Weights weights, const T* x, const T* gy, Wide<T> beta,
                                      Wide<T>* sums) {
  const int out = plane.out_area(), taps = plane.taps();
  for (int64_t i = grid_warp(); i < runs * filters * taps; i += grid_warps()) {
    const int tap = static_cast<int>(i % taps);
    const int64_t f = i / taps % filters, j = i / (taps * filters);
    const int64_t begin = bounds == nullptr ? batch * j / runs : bounds[j];
    const int64_t end = bounds == nullptr ? batch * (j + 1) / runs : bounds[j + 1];
    Wide<T> total = 0;
    for (int64_t e = begin; e < end; ++e) {
      const auto weight = static_cast<Wide<T>>(weights.of(e));
      if (weight == 0) continue;
      const T* gyp = gy + (e * filters + f) * out;
      const T* xp = x + (e * filters + f) / filters_each * plane.area();
      Wide<T> sum = 0;
      for (int p = lane(); p < out; p += warp_lanes) {
        const int q = plane.read_by(p, tap);
        if (q >= 0) sum += widen(gyp[p]) * widen(xp[q]);
      }
      total += weight * sum;
    }
    total = warp_sum(total);
    if (lane() == 0) sums[i] = total + (beta == 0 ? Wide<T>(0) : beta * sums[i]);
  }
}

template <class T>
struct Problem {
  int64_t size() const { return shape.filters * shape.taps(); }
  /// Elements of the sum that belong to one convolution group.
  int64_t group_size() const { return shape.group_filters() * shape.taps(); }
  int64_t rows_each() const { return shape.out_area(); }
  int64_t examples_at_once() const {
    const int64_t elements = rows_each() * (shape.taps() + shape.group_filters());
    return examples_at_a_time(elements * static_cast<int64_t>(sizeof(T)));
  }

  ConvShape shape;
  const T *x, *gy;
};

/// The operands in rows, of one convolution group and some examples.
template <class T>
class Rows {
 public:
  Rows(const Problem<T>& p, int64_t most_examples)
      : p_(p),
        a_(bytes(most_examples, p.shape.taps())),
        g_(bytes(most_examples, p.shape.group_filters())) {}

  void gather(int64_t group, int64_t first, int64_t examples, const Weights& weights) {
    const ConvShape& s = p_.shape;
    const int64_t channels = s.channels / s.groups, filters = s.group_filters();
    const int64_t in_area = s.height * s.width, area = s.out_area();
    const T* x = p_.x + group * channels * in_area;
    const T* gy = p_.gy + group * filters * area;
    if (s.pointwise()) {
      transpose(first, examples, channels, s.channels * area, weights, false, x, a());
    } else {
      MINNOW_LAUNCH(warp_grid_for(examples * area), block_threads, 0, patch_rows_kernel<T>,
                    ConvPlane(s), first, examples, channels, s.channels * in_area, weights, x, a());
    }
    transpose(first, examples, filters, s.filters * area, weights, true, gy, g());
  }
  T* a() const { return a_.template as<T>(); }
  T* g() const { return g_.template as<T>(); }

 private:
  int64_t bytes(int64_t examples, int64_t width) const {
    return examples * p_.rows_each() * width * static_cast<int64_t>(sizeof(T));
  }
  void transpose(int64_t first, int64_t examples, int64_t channels, int64_t stride,
                 const Weights& weights, bool scaled, const T* from, T* to) {
    const int64_t area = p_.rows_each();
    const int64_t squares = examples * ceil_div(area, square) * ceil_div(channels, square);
    MINNOW_LAUNCH(grid_for(squares, 1), block_threads, 0, transpose_kernel<T>, first, examples,
                  channels, area, stride, weights, scaled, from, to);
  }

  const Problem<T>& p_;
  Scratch a_, g_;
};

/// sum = the weighted sum over the examples begin .. end + beta * sum.
template <class T>
void add_up(const Problem<T>& p, int64_t begin, int64_t end, const Weights& weights, Wide<T> beta,
            Wide<T>* sum) {
  const int64_t most = std::min(p.examples_at_once(), end - begin);
  Rows<T> rows(p, most);
  for (int64_t q = 0; q < p.shape.groups; ++q) {
    int64_t e = begin;
    do {  // once even with no examples, which is beta * sum
      const int64_t examples = std::min(most, end - e);
      rows.gather(q, e, examples, weights);
      outer_sum(examples * p.rows_each(), p.shape.taps(), p.shape.group_filters(), rows.a(),
                rows.g(), e == begin ? beta : Wide<T>(1), sum + q * p.group_size());
      e += examples;
    } while (e < end);
  }
}

/// The same for a depthwise convolution, over the whole batch: in as many runs of examples as give
/// the device enough to do.
template <class T>
void add_up_depthwise(const Problem<T>& p, const Weights& weights, Wide<T> beta, Wide<T>* sum) {
  const ConvShape& s = p.shape;
  const int64_t warps = int64_t{64} * device_info().multiprocessors;
  const int64_t most = std::max<int64_t>(s.batch, 1);
  const int64_t runs = std::clamp<int64_t>(warps / std::max<int64_t>(p.size(), 1), 1, most);
  const Scratch parts(runs * p.size() * static_cast<int64_t>(sizeof(Wide<T>)));
  const int64_t* everything = nullptr;
  MINNOW_LAUNCH(warp_grid_for(runs * p.size()), block_threads, 0, depthwise_sums_kernel<T>,
                ConvPlane(s), runs, everything, s.batch, s.filters, s.group_filters(), weights, p.x,
                p.gy, Wide<T>(0), parts.as<Wide<T>>());
  MINNOW_LAUNCH(grid_for(p.size()), block_threads, 0, add_parts_kernel<Wide<T>>, runs, p.size(),
                parts.as<Wide<T>>(), beta, sum);
}

/// One sum a group for a depthwise convolution.
template <class T>
void depthwise_group_sums(const Problem<T>& p, int64_t groups, const int64_t* device_bounds,
                          Wide<T> beta, Wide<T>* sums) {
  const ConvShape& s = p.shape;
  MINNOW_LAUNCH(warp_grid_for(groups * p.size()), block_threads, 0, depthwise_sums_kernel<T>,
                ConvPlane(s), groups, device_bounds, s.batch, s.filters, s.group_filters(),
                Weights{}, p.x, p.gy, beta, sums);
}

/// Groups of examples as groups of the rows that they are gathered into.
class RowSegments {
 public:
  RowSegments(const Segments& s, int64_t begin, int64_t end, int64_t rows_each)
      : device_((end - begin + 1) * static_cast<int64_t>(sizeof(int64_t))) {
    for (int64_t j = begin; j <= end; ++j) {
      bounds_.push_back((s.bounds[j] - s.bounds[begin]) * rows_each);
    }
    const int64_t count = end - begin + 1;
    MINNOW_LAUNCH(grid_for(count), block_threads, 0, scale_bounds_kernel, count,
                  s.device_bounds + begin, rows_each, device_.as<int64_t>());
  }
  Segments get() const {
    return {static_cast<int64_t>(bounds_.size()) - 1, bounds_.data(), device_.as<int64_t>()};
  }

 private:
  std::vector<int64_t> bounds_;
  Scratch device_;
};

/// Calls f(first group, last + 1) for runs of groups whose rows fit together, alone(group) for a
/// group whose rows do not.
template <class T, class F, class G>
void for_each_run(const Problem<T>& p, const Segments& s, F f, G alone) {
  const int64_t most = p.examples_at_once();
  for (int64_t j = 0; j < s.groups;) {
    int64_t end = j;
    while (end < s.groups && s.bounds[end + 1] - s.bounds[j] <= most) ++end;
    if (end == j) {
      alone(j++);
    } else {
      f(j, end);
      j = end;
    }
  }
}

/// The sum over all examples by cuDNN, false where it has no plan. cuDNN overwrites: what is to be
/// added to comes afterwards, a pass over the weight's size.
template <class T>
bool add_up_by_cudnn(const Problem<T>& p, Wide<T> beta, Wide<T>* sum) {
  if (beta == 0) return cudnn_weight_sum(p.shape, p.x, p.gy, sum);
  const Scratch part(p.size() * static_cast<int64_t>(sizeof(Wide<T>)));
  if (!cudnn_weight_sum(p.shape, p.x, p.gy, part.as<Wide<T>>())) return false;
  MINNOW_LAUNCH(grid_for(p.size()), block_threads, 0, add_parts_kernel<Wide<T>>, int64_t{1},
                p.size(), part.as<Wide<T>>(), beta, sum);
  return true;
}

}  // namespace

template <class T>
void conv_sum(const ConvShape& shape, const T* x, const T* gy, Wide<T> beta, Wide<T>* sum) {
  const Problem<T> p{shape, x, gy};
  if (shape.depthwise()) return add_up_depthwise(p, Weights{}, beta, sum);
  if (add_up_by_cudnn(p, beta, sum)) return;
  add_up(p, 0, shape.batch, Weights{}, beta, sum);
}

template <class T>
void conv_group_sums(const ConvShape& shape, const Segments& segments, const T* x, const T* gy,
                     Wide<T> beta, Wide<T>* sums, double* sumsq) {
  const Problem<T> p{shape, x, gy};
  const int64_t* bounds = segments.bounds;
  const auto alone = [&](int64_t j) {
    add_up(p, bounds[j], bounds[j + 1], Weights{}, beta, sums + j * p.size());
  };
  const auto together = [&](int64_t begin, int64_t end) {
    const int64_t examples = bounds[end] - bounds[begin];
    const RowSegments rows_of(segments, begin, end, p.rows_each());
    Rows<T> rows(p, examples);
    rows.gather(0, bounds[begin], examples, Weights{});
    outer_group_sums(rows_of.get(), shape.taps(), shape.filters, rows.a(), rows.g(), beta,
                     sums + begin * p.size(), static_cast<double*>(nullptr));
  };
  if (shape.depthwise()) {
    depthwise_group_sums(p, segments.groups, segments.device_bounds, beta, sums);
  } else if (shape.groups > 1) {  // their results do not lie side by side
    for (int64_t j = 0; j < segments.groups; ++j) alone(j);
  } else {
    for_each_run(p, segments, together, alone);
  }
  if (sumsq != nullptr) row_sumsq(segments.groups, p.size(), sums, sumsq);
}

template <class T>
void conv_group_sumsq(const ConvShape& shape, const Segments& segments, const T* x, const T* gy,
                      double* sumsq) {
  const Problem<T> p{shape, x, gy};
  const int64_t* bounds = segments.bounds;
  const int64_t sum_bytes = p.size() * static_cast<int64_t>(sizeof(Wide<T>));
  if (shape.depthwise()) {  // a weight is small: the sums of many groups fit
    const int64_t most = std::min(examples_at_a_time(sum_bytes), segments.groups);
    const Scratch sums(most * sum_bytes);
    for (int64_t j = 0; j < segments.groups; j += most) {
      const int64_t groups = std::min(most, segments.groups - j);
      depthwise_group_sums(p, groups, segments.device_bounds + j, Wide<T>(0), sums.as<Wide<T>>());
      row_sumsq(groups, p.size(), sums.as<Wide<T>>(), sumsq + j);
    }
    return;
  }
  const auto alone = [&](int64_t j) {
    const Scratch sum(sum_bytes);
    add_up(p, bounds[j], bounds[j + 1], Weights{}, Wide<T>(0), sum.as<Wide<T>>());
    row_sumsq(1, p.size(), sum.as<Wide<T>>(), sumsq + j);
  };
  const auto together = [&](int64_t begin, int64_t end) {
    const int64_t examples = bounds[end] - bounds[begin], groups = end - begin;
    const RowSegments rows_of(segments, begin, end, p.rows_each());
    const Scratch parts(shape.groups * groups * static_cast<int64_t>(sizeof(double)));
    Rows<T> rows(p, examples);
    for (int64_t q = 0; q < shape.groups; ++q) {
      rows.gather(q, bounds[begin], examples, Weights{});
      outer_group_sumsq(rows_of.get(), shape.taps(), shape.group_filters(), rows.a(), rows.g(),
                        parts.as<double>() + q * groups);
    }
    MINNOW_LAUNCH(grid_for(groups), block_threads, 0, add_parts_kernel<double>, shape.groups,
                  groups, parts.as<double>(), 0.0, sumsq + begin);
  };
  for_each_run(p, segments, together, alone);
}

template <class T>
void conv_weighted_sum(const ConvShape& shape, const Segments& segments, const T* x, const T* gy,
                       const double* c, Wide<T> beta, Wide<T>* sum) {
  const Problem<T> p{shape, x, gy};
  const Weights weights{c, segments.groups, segments.device_bounds};
  if (shape.depthwise()) return add_up_depthwise(p, weights, beta, sum);
  add_up(p, 0, shape.batch, weights, beta, sum);
}

#define MINNOW_INSTANTIATE(T)                                                                      \
  template void conv_sum<T>(const ConvShape&, const T*, const T*, Wide<T>, Wide<T>*);              \
  template void conv_group_sums<T>(const ConvShape&, const Segments&, const T*, const T*, Wide<T>, \
                                   Wide<T>*, double*);                                             \
  template void conv_group_sumsq<T>(const ConvShape&, const Segments&, const T*, const T*,         \
                                    double*);                                                      \
  template void conv_weighted_sum<T>(const ConvShape&, const Segments&, const T*, const T*,        \
                                     const double*, Wide<T>, Wide<T>*);
MINNOW_INSTANTIATE(float)
MINNOW_INSTANTIATE(double)
MINNOW_INSTANTIATE(bfloat16)
#undef MINNOW_INSTANTIATE

}  // namespace minnow::cuda
