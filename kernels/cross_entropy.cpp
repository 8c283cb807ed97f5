#include "kernels/cross_entropy.h"

#include <cmath>
#include <limits>

#include "kernels/launch.h"
#include "kernels/softmax.h"

namespace minnow::cpu {
namespace {

/// f(r, begin of row r) for every row, over all cores.
template <class F>
void each_row(int64_t rows, int64_t classes, F f) {
  parallel_for(rows, element_grain / (classes + 1) + 1, [=](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) f(r, r * classes);
  });
}

bool is_class(int64_t label, int64_t classes) {
  return label >= 0 && label < classes;
}

/// Logits relative to their largest: what sums and logarithms are taken of, so that large logits
/// lose no digits.
template <class T>
struct Row {
  T most;
  T log_sum;  ///< log sum e^(x - most)
};

/// Also fills p with the softmax of the row.
template <class T>
Row<T> normalise(int64_t classes, const T* x, T* p) {
  const T most = row_max(classes, x), sum = exp_row(classes, x, most, p), scale = T(1) / sum;
#pragma omp simd
  for (int64_t i = 0; i < classes; ++i) p[i] *= scale;
  return {most, std::log(sum)};
}

}  // namespace

template <class T>
void cross_entropy_forward(int64_t rows, int64_t classes, T smoothing, const T* x,
                           const int64_t* labels, T* p, T* losses) {
  each_row(rows, classes, [=](int64_t r, int64_t at) {
    const Row<T> row = normalise(classes, x + at, p + at);
    T loss = row.log_sum;
    if (!is_class(labels[r], classes)) {
      loss = std::numeric_limits<T>::quiet_NaN();
    } else if (smoothing < T(1)) {
      loss -= (T(1) - smoothing) * (x[at + labels[r]] - row.most);
    }
    if (smoothing > T(0)) {
      T sum = 0;
#pragma omp simd reduction(+ : sum)
      for (int64_t i = 0; i < classes; ++i) sum += x[at + i] - row.most;
      loss -= smoothing / static_cast<T>(classes) * sum;
    }
    losses[r] = loss;
  });
}

template <class T>
void cross_entropy_backward(int64_t rows, int64_t classes, T smoothing, const T* p,
                            const int64_t* labels, const T* gy, T* gx) {
  const T each = smoothing / static_cast<T>(classes);
  each_row(rows, classes, [=](int64_t r, int64_t at) {
    const bool known = is_class(labels[r], classes);
    const T g = known ? gy[r] : std::numeric_limits<T>::quiet_NaN();
#pragma omp simd
    for (int64_t i = 0; i < classes; ++i) gx[at + i] = g * (p[at + i] - each);
    if (known) gx[at + labels[r]] -= g * (T(1) - smoothing);
  });
}

template <class T>
void soft_cross_entropy_forward(int64_t rows, int64_t classes, T smoothing, const T* x,
                                const T* targets, T* p, T* losses) {
  const T each = smoothing / static_cast<T>(classes);
  each_row(rows, classes, [=](int64_t r, int64_t at) {
    const Row<T> row = normalise(classes, x + at, p + at);
    T loss = 0;
#pragma omp simd reduction(+ : loss)
    for (int64_t i = 0; i < classes; ++i) {
      const T t = (T(1) - smoothing) * targets[at + i] + each;
      const T term = t * (row.log_sum - (x[at + i] - row.most));
      loss += t == T(0) ? T(0) : term;
    }
    losses[r] = loss;
  });
}

template <class T>
void soft_cross_entropy_backward(int64_t rows, int64_t classes, T smoothing, const T* p,
                                 const T* targets, const T* gy, T* gx) {
  const T each = smoothing / static_cast<T>(classes), rest = T(1) - smoothing;
  each_row(rows, classes, [=](int64_t r, int64_t at) {
    T total = 0;
#pragma omp simd reduction(+ : total)
    for (int64_t i = 0; i < classes; ++i) total += rest * targets[at + i] + each;
    const T g = gy[r];
#pragma omp simd
    for (int64_t i = 0; i < classes; ++i) {
      gx[at + i] = g * (p[at + i] * total - (rest * targets[at + i] + each));
    }
  });
}

#define MINNOW_INSTANTIATE(T)                                                                      \
  template void cross_entropy_forward<T>(int64_t, int64_t, T, const T*, const int64_t*, T*, T*);   \
  template void cross_entropy_backward<T>(int64_t, int64_t, T, const T*, const int64_t*, const T*, \
                                          T*);                                                     \
  template void soft_cross_entropy_forward<T>(int64_t, int64_t, T, const T*, const T*, T*, T*);    \
  template void soft_cross_entropy_backward<T>(int64_t, int64_t, T, const T*, const T*, const T*,  \
                                               T*);
MINNOW_INSTANTIATE(float)
MINNOW_INSTANTIATE(double)
#undef MINNOW_INSTANTIATE

}  // namespace minnow::cpu
