#pragma once

#include <cstdint>

#include "kernels/bfloat16.h"

namespace minnow {

/// Whether a product reads its operand as it lies in memory or transposed.
enum class Op : bool { none, transpose };

namespace cpu {

/// C = alpha op(A) op(B) + beta C, row-major; op(A) is [m, k], op(B) is [k, n], C is [m, n]; lda,
/// ldb, ldc are the distances between rows as they lie in memory. With beta = 0, C is overwritten
/// whatever it held. float32 goes to oneDNN; inside a parallel region it runs on the calling
/// thread. oneDNN's generated code (seen in 2.6.3) does not survive a signal handler on its thread:
/// a program with handlers blocks their signals in the threads that compute.
template <class T>
void gemm(Op op_a, Op op_b, int64_t m, int64_t n, int64_t k, Wide<T> alpha, const T* a, int64_t lda,
          const T* b, int64_t ldb, Wide<T> beta, T* c, int64_t ldc);

/// `count` products whose operands lie `stride_*` elements apart (0: the same operand each time).
template <class T>
void gemm_batched(int64_t count, Op op_a, Op op_b, int64_t m, int64_t n, int64_t k, Wide<T> alpha,
                  const T* a, int64_t lda, int64_t stride_a, const T* b, int64_t ldb,
                  int64_t stride_b, Wide<T> beta, T* c, int64_t ldc, int64_t stride_c);

}  // namespace cpu

/// The same on arrays in device memory; products of bfloat16 can be written in float (C). Two runs
/// give the same bits.
namespace cuda {

/// Whether products of float32 may round their operands to TF32's 10 bits of fraction, for this
/// process from now on; they do not unless asked to.
void allow_tf32(bool allow);
bool tf32_allowed();

template <class T, class C = T>
void gemm(Op op_a, Op op_b, int64_t m, int64_t n, int64_t k, Wide<T> alpha, const T* a, int64_t lda,
          const T* b, int64_t ldb, Wide<T> beta, C* c, int64_t ldc);
template <class T, class C = T>
void gemm_batched(int64_t count, Op op_a, Op op_b, int64_t m, int64_t n, int64_t k, Wide<T> alpha,
                  const T* a, int64_t lda, int64_t stride_a, const T* b, int64_t ldb,
                  int64_t stride_b, Wide<T> beta, C* c, int64_t ldc, int64_t stride_c);

}  // namespace cuda
}  // namespace minnow
