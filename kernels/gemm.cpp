#include "kernels/gemm.h"

#include <dnnl.h>

#include <cstdio>
#include <cstdlib>

#include "kernels/launch.h"

namespace minnow::cpu {
namespace {

/// The obvious loops, with rows of C in the middle so that the inner loop runs along memory;
/// float64 is for checks.
void gemm_one(Op op_a, Op op_b, int64_t m, int64_t n, int64_t k, double alpha, const double* a,
              int64_t lda, const double* b, int64_t ldb, double beta, double* c, int64_t ldc) {
  const auto at_a = [=](int64_t i, int64_t p) {
    return op_a == Op::none ? a[i * lda + p] : a[p * lda + i];
  };
  parallel_for(m, element_grain / (n * k + 1) + 1, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      double* ci = c + i * ldc;
      for (int64_t j = 0; j < n; ++j) ci[j] = beta == 0 ? 0 : beta * ci[j];
      for (int64_t p = 0; p < k; ++p) {
        const double aip = alpha * at_a(i, p);
        for (int64_t j = 0; j < n; ++j) {
          ci[j] += aip * (op_b == Op::none ? b[p * ldb + j] : b[j * ldb + p]);
        }
      }
    }
  });
}

void gemm_one(Op op_a, Op op_b, int64_t m, int64_t n, int64_t k, float alpha, const float* a,
              int64_t lda, const float* b, int64_t ldb, float beta, float* c, int64_t ldc) {
  const auto letter = [](Op op) { return op == Op::none ? 'N' : 'T'; };
  const dnnl_status_t status =
      dnnl_sgemm(letter(op_a), letter(op_b), m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
  if (status != dnnl_success) {
    // Only wrong sizes from our own code, or no memory, lead here; kernels do not throw across
    // threads.
    std::fprintf(stderr, "dnnl_sgemm(m=%lld, n=%lld, k=%lld) failed with status %d\n",
                 static_cast<long long>(m), static_cast<long long>(n), static_cast<long long>(k),
                 static_cast<int>(status));
    std::abort();
  }
}

}  // namespace

template <class T>
void gemm(Op op_a, Op op_b, int64_t m, int64_t n, int64_t k, Wide<T> alpha, const T* a, int64_t lda,
          const T* b, int64_t ldb, Wide<T> beta, T* c, int64_t ldc) {
  if (m == 0 || n == 0) return;
  if (k == 0) {  // an empty sum; oneDNN leaves C as it was
    for (int64_t i = 0; i < m; ++i) {
      for (int64_t j = 0; j < n; ++j) c[i * ldc + j] = beta == T(0) ? T(0) : beta * c[i * ldc + j];
    }
    return;
  }
  gemm_one(op_a, op_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

template <class T>
void gemm_batched(int64_t count, Op op_a, Op op_b, int64_t m, int64_t n, int64_t k, Wide<T> alpha,
                  const T* a, int64_t lda, int64_t stride_a, const T* b, int64_t ldb,
                  int64_t stride_b, Wide<T> beta, T* c, int64_t ldc, int64_t stride_c) {
  const auto one = [=](int64_t i) {
    gemm(op_a, op_b, m, n, k, alpha, a + i * stride_a, lda, b + i * stride_b, ldb, beta,
         c + i * stride_c, ldc);
  };
  if (count < omp_get_max_threads()) {  // too few for one a thread: share the cores inside each
    for (int64_t i = 0; i < count; ++i) one(i);
    return;
  }
  parallel_for(count, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) one(i);
  });
}

#define MINNOW_INSTANTIATE(T)                                                                     \
  template void gemm<T>(Op, Op, int64_t, int64_t, int64_t, T, const T*, int64_t, const T*,        \
                        int64_t, T, T*, int64_t);                                                 \
  template void gemm_batched<T>(int64_t, Op, Op, int64_t, int64_t, int64_t, T, const T*, int64_t, \
                                int64_t, const T*, int64_t, int64_t, T, T*, int64_t, int64_t);
MINNOW_INSTANTIATE(float)
MINNOW_INSTANTIATE(double)
#undef MINNOW_INSTANTIATE

}  // namespace minnow::cpu
