#pragma once

#include <type_traits>

#include "kernels/bfloat16.h"
#include "kernels/cuda_check.h"
#include "kernels/gemm.h"

/// How cuBLAS and cuBLASLt name our types.
namespace minnow::cuda {

template <class T>
constexpr cudaDataType_t data_type() {
  if constexpr (std::is_same_v<T, double>) {
    return CUDA_R_64F;
  } else if constexpr (std::is_same_v<T, float>) {
    return CUDA_R_32F;
  } else {
    return CUDA_R_16BF;
  }
}

/// Sums are kept in Wide<T>.
template <class T>
cublasComputeType_t compute_type() {
  if constexpr (std::is_same_v<T, double>) {
    return CUBLAS_COMPUTE_64F;
  } else {
    const bool tf32 = std::is_same_v<T, float> && tf32_allowed();
    return tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
  }
}

inline cublasOperation_t blas_op(Op op) {
  return op == Op::none ? CUBLAS_OP_N : CUBLAS_OP_T;
}

}  // namespace minnow::cuda
