#pragma once

#include <cublas_v2.h>
#include <cuda_runtime.h>
#include <cudnn_backend.h>

/// For the sources that call CUDA's run time and libraries themselves.
namespace minnow::cuda {

/// Throw DeviceError, with the call's text, its place and CUDA's own words, unless all went well.
/// cuBLASLt answers in the type of cuBLAS.
void check_status(cudaError_t status, const char* call, const char* file, int line);
void check_status(cublasStatus_t status, const char* call, const char* file, int line);
void check_status(cudnnStatus_t status, const char* call, const char* file, int line);

}  // namespace minnow::cuda

/// MINNOW_CUDA_CHECK(cudaStreamCreate(&stream));
#define MINNOW_CUDA_CHECK(call) ::minnow::cuda::check_status((call), #call, __FILE__, __LINE__)
