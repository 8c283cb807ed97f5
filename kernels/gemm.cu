#include <atomic>

#include "kernels/device.h"
#include "kernels/gemm.h"

#ifdef MINNOW_CUDA_HOST
#include <concepts>
#include <vector>

#include "kernels/host/device_access.h"
#else
#include "kernels/cublas.h"
#endif

/// Products by cuBLAS: 2 m n k flops. Where the processor plays the device, by the CPU's.
namespace minnow::cuda {
namespace {

std::atomic<bool> tf32{false};

/// One product or `count` of them, as gemm_batched's arguments.
template <class T, class C>
struct Product {
  int64_t count;
  Op op_a, op_b;
  int64_t m, n, k;
  Wide<T> alpha;
  const T* a;
  int64_t lda, stride_a;
  const T* b;
  int64_t ldb, stride_b;
  Wide<T> beta;
  C* c;
  int64_t ldc, stride_c;
};

/// C = beta C, the product with k = 0: an element a thread, neighbours along a row. Reads and
/// writes C once; only writes it where beta is 0.
template <class C>
__global__ void rescale_kernel(int64_t elements, int64_t m, int64_t n, Wide<C> beta, C* c,
                               int64_t ldc, int64_t stride_c) {
  for (int64_t i = grid_thread(); i < elements; i += grid_threads()) {
    C& at = c[i / (m * n) * stride_c + i / n % m * ldc + i % n];
    at = narrow<C>(beta == 0 ? Wide<C>(0) : beta * widen(at));
  }
}

#ifdef MINNOW_CUDA_HOST

/// The CPU's products know no bfloat16: these go through float copies.
std::vector<float> float_copy(int64_t rows, int64_t width, int64_t stride, const bfloat16* from) {
  std::vector<float> to(static_cast<size_t>(rows * width));
  for (int64_t i = 0; i < rows * width; ++i) to[i] = widen(from[i / width * stride + i % width]);
  return to;
}

template <std::floating_point T>
void multiply_one(const Product<T, T>& p, const T* a, const T* b, T* c) {
  cpu::gemm(p.op_a, p.op_b, p.m, p.n, p.k, p.alpha, a, p.lda, b, p.ldb, p.beta, c, p.ldc);
}
template <class C>
void multiply_one(const Product<bfloat16, C>& p, const bfloat16* a, const bfloat16* b, C* c) {
  const bool a_lies = p.op_a == Op::none, b_lies = p.op_b == Op::none;
  const int64_t a_width = a_lies ? p.k : p.m, b_width = b_lies ? p.n : p.k;
  const auto wide_a = float_copy(a_lies ? p.m : p.k, a_width, p.lda, a);
  const auto wide_b = float_copy(b_lies ? p.k : p.n, b_width, p.ldb, b);
  std::vector<float> product(static_cast<size_t>(p.m * p.n));
  cpu::gemm(p.op_a, p.op_b, p.m, p.n, p.k, p.alpha, wide_a.data(), a_width, wide_b.data(), b_width,
            0.0f, product.data(), p.n);
  for (int64_t i = 0; i < p.m * p.n; ++i) {
    C& at = c[i / p.n * p.ldc + i % p.n];
    at = narrow<C>(product[i] + (p.beta == 0 ? 0.0f : p.beta * widen(at)));
  }
}

template <class T, class C>
void multiply(const Product<T, C>& p) {
  const host::DeviceAccess access;
  for (int64_t i = 0; i < p.count; ++i) {
    multiply_one(p, p.a + i * p.stride_a, p.b + i * p.stride_b, p.c + i * p.stride_c);
  }
}

#else

/// A handle with a stream and a workspace of its own: cuBLAS gives the same bits every time as long
/// as it has them. Never destroyed: cuBLAS loads its parts when they are first needed, and when the
/// program ends they may be gone before any object that was made earlier.
cublasHandle_t make_blas() {
  const cudaStream_t where = stream();                    // says first why there may be no device
  constexpr int64_t workspace_bytes = int64_t{32} << 20;  // what cuBLAS advises for sm_90
  cublasHandle_t handle = nullptr;
  MINNOW_CUDA_CHECK(cublasCreate(&handle));
  MINNOW_CUDA_CHECK(cublasSetStream(handle, where));
  // Without memory for it cuBLAS falls back on algorithms that need none.
  void* const workspace = device_allocate(workspace_bytes);
  MINNOW_CUDA_CHECK(
      cublasSetWorkspace(handle, workspace, workspace == nullptr ? 0 : workspace_bytes));
  MINNOW_CUDA_CHECK(cublasSetAtomicsMode(handle, CUBLAS_ATOMICS_NOT_ALLOWED));
  // Parts of a sum of bfloat16 products are added up in float32 too.
  MINNOW_CUDA_CHECK(cublasSetMathMode(
      handle, static_cast<cublasMath_t>(CUBLAS_DEFAULT_MATH |
                                        CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION)));
  return handle;
}

/// The one handle of all types.
cublasHandle_t blas() {
  static const cublasHandle_t handle = make_blas();
  return handle;
}

/// cuBLAS takes matrices column by column: what it sees are the transposes, and the transpose of
/// A B is B^T A^T.
template <class T, class C>
void multiply(const Product<T, C>& p) {
  constexpr cudaDataType_t type = data_type<T>(), result = data_type<C>();
  const cublasComputeType_t compute = compute_type<T>();
  const cublasOperation_t op_a = blas_op(p.op_a), op_b = blas_op(p.op_b);
  if (p.count == 1) {
    MINNOW_CUDA_CHECK(cublasGemmEx_64(blas(), op_b, op_a, p.n, p.m, p.k, &p.alpha, p.b, type, p.ldb,
                                      p.a, type, p.lda, &p.beta, p.c, result, p.ldc, compute,
                                      CUBLAS_GEMM_DEFAULT));
  } else {
    MINNOW_CUDA_CHECK(cublasGemmStridedBatchedEx_64(
        blas(), op_b, op_a, p.n, p.m, p.k, &p.alpha, p.b, type, p.ldb, p.stride_b, p.a, type, p.lda,
        p.stride_a, &p.beta, p.c, result, p.ldc, p.stride_c, p.count, compute,
        CUBLAS_GEMM_DEFAULT));
  }
}

#endif

}  // namespace

void allow_tf32(bool allow) {
  tf32 = allow;
}

bool tf32_allowed() {
  return tf32;
}

template <class T, class C>
void gemm(Op op_a, Op op_b, int64_t m, int64_t n, int64_t k, Wide<T> alpha, const T* a, int64_t lda,
          const T* b, int64_t ldb, Wide<T> beta, C* c, int64_t ldc) {
  gemm_batched(1, op_a, op_b, m, n, k, alpha, a, lda, 0, b, ldb, 0, beta, c, ldc, 0);
}

template <class T, class C>
void gemm_batched(int64_t count, Op op_a, Op op_b, int64_t m, int64_t n, int64_t k, Wide<T> alpha,
                  const T* a, int64_t lda, int64_t stride_a, const T* b, int64_t ldb,
                  int64_t stride_b, Wide<T> beta, C* c, int64_t ldc, int64_t stride_c) {
  const int64_t elements = count * m * n;
  if (elements == 0) return;
  if (k == 0) {
    if (beta == 1) return;
    MINNOW_LAUNCH(grid_for(elements), block_threads, 0, rescale_kernel<C>, elements, m, n, beta, c,
                  ldc, stride_c);
    return;
  }
  multiply(Product<T, C>{count, op_a, op_b, m, n, k, alpha, a, lda, stride_a, b, ldb, stride_b,
                         beta, c, ldc, stride_c});
}

#define MINNOW_INSTANTIATE(T, C)                                                                  \
  template void gemm<T, C>(Op, Op, int64_t, int64_t, int64_t, Wide<T>, const T*, int64_t,         \
                           const T*, int64_t, Wide<T>, C*, int64_t);                              \
  template void gemm_batched<T, C>(int64_t, Op, Op, int64_t, int64_t, int64_t, Wide<T>, const T*, \
                                   int64_t, int64_t, const T*, int64_t, int64_t, Wide<T>, C*,     \
                                   int64_t, int64_t);
MINNOW_INSTANTIATE(float, float)
MINNOW_INSTANTIATE(double, double)
MINNOW_INSTANTIATE(bfloat16, bfloat16)
MINNOW_INSTANTIATE(bfloat16, float)
#undef MINNOW_INSTANTIATE

}  // namespace minnow::cuda
