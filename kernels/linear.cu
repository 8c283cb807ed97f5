#include "kernels/binary.h"
#include "kernels/device.h"
#include "kernels/gemm.h"
#include "kernels/linear.h"

#ifndef MINNOW_CUDA_HOST
#include <cublasLt.h>

#include <compare>
#include <map>

#include "kernels/cublas.h"
#endif

/// y = x w^T + bias: 2 rows in out flops by cuBLASLt, which adds the bias before y is written.
/// cuBLASLt wants the bias of a bfloat16 product in bfloat16, and knows none for float64; there the
/// bias is a pass of its own over y.
namespace minnow::cuda {
namespace {

#ifdef MINNOW_CUDA_HOST

bool fused_forward(int64_t, int64_t, int64_t, const float*, const float*, const float*, float*) {
  return false;
}

#else

/// A descriptor of cuBLASLt and the function that frees it.
template <class Handle, cublasStatus_t (*destroy)(Handle)>
class Owned {
 public:
  Owned() = default;
  ~Owned() {
    if (handle_ != nullptr) destroy(handle_);
  }
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  Handle* place() { return &handle_; }
  operator Handle() const { return handle_; }

 private:
  Handle handle_ = nullptr;
};

/// Never destroyed, for the reason that gemm.cu gives.
cublasLtHandle_t lt() {
  static cublasLtHandle_t handle = nullptr;
  if (handle == nullptr) MINNOW_CUDA_CHECK(cublasLtCreate(&handle));
  return handle;
}

/// What an algorithm is chosen by: sizes, the largest power of two (up to 16) that divides every
/// address, and the precision.
struct LinearKey {
  int64_t rows, in, out;
  uint32_t alignment;
  bool tf32;
  auto operator<=>(const LinearKey&) const = default;
};

/// The product y^T = w x^T of matrices that cuBLASLt reads column by column: w as [in, out], to be
/// transposed, x as [in, rows], y as [out, rows], with the bias added to each column.
class FusedLinear {
 public:
  explicit FusedLinear(const LinearKey& key) {
    MINNOW_CUDA_CHECK(
        cublasLtMatmulDescCreate(product_.place(), compute_type<float>(), CUDA_R_32F));
    set(CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T);
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
    // The choice looks at the bias's address, for its alignment; any address of the key's does.
    set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, uintptr_t{key.alignment});
    lay_out(w_, key.in, key.out);
    lay_out(x_, key.in, key.rows);
    lay_out(y_, key.out, key.rows);
    choose(key.alignment);
  }
  /// Whether cuBLASLt has an algorithm for these sizes.
  bool usable() const { return usable_; }

  void run(const float* x, const float* w, const float* bias, float* y) {
    constexpr float one = 1, zero = 0;
    set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
    const Scratch workspace(static_cast<int64_t>(found_.workspaceSize));
    MINNOW_CUDA_CHECK(cublasLtMatmul(lt(), product_, &one, w, w_, x, x_, &zero, y, y_, y, y_,
                                     &found_.algo, workspace.as<void>(), found_.workspaceSize,
                                     stream()));
  }

 private:
  using Layout = Owned<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>;

  template <class V>
  void set(cublasLtMatmulDescAttributes_t attribute, const V& value) {
    MINNOW_CUDA_CHECK(cublasLtMatmulDescSetAttribute(product_, attribute, &value, sizeof(value)));
  }
  static void lay_out(Layout& layout, int64_t column, int64_t columns) {
    MINNOW_CUDA_CHECK(cublasLtMatrixLayoutCreate(layout.place(), CUDA_R_32F,
                                                 static_cast<uint64_t>(column),
                                                 static_cast<uint64_t>(columns), column));
  }
  void choose(uint32_t alignment) {
    Owned<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy> preference;
    MINNOW_CUDA_CHECK(cublasLtMatmulPreferenceCreate(preference.place()));
    const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
      MINNOW_CUDA_CHECK(
          cublasLtMatmulPreferenceSetAttribute(preference, attribute, &value, sizeof(value)));
    };
    prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, uint64_t{32} << 20);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignment);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment);
    int count = 0;
    const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(lt(), product_, w_, x_, y_, y_,
                                                                 preference, 1, &found_, &count);
    usable_ = status == CUBLAS_STATUS_SUCCESS && count == 1;
    if (status != CUBLAS_STATUS_NOT_SUPPORTED) MINNOW_CUDA_CHECK(status);
  }

  Owned<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy> product_;
  Layout w_, x_, y_;
  cublasLtMatmulHeuristicResult_t found_ = {};
  bool usable_ = false;
};

/// False where cuBLASLt cannot do it. Algorithms are looked up once a shape.
bool fused_forward(int64_t rows, int64_t in, int64_t out, const float* x, const float* w,
                   const float* bias, float* y) {
  static auto& cache = *new std::map<LinearKey, FusedLinear>;  // as lt()
  constexpr size_t most = 4096;  // shapes; lengths that vary make new ones without end
  if (cache.size() == most) cache.clear();
  uintptr_t addresses = 16;
  for (const float* p : {x, w, bias, static_cast<const float*>(y)}) {
    addresses |= reinterpret_cast<uintptr_t>(p);
  }
  const auto alignment = static_cast<uint32_t>(addresses & -addresses);
  const LinearKey key{rows, in, out, alignment, tf32_allowed()};
  FusedLinear& product = cache.try_emplace(key, key).first->second;
  if (product.usable()) product.run(x, w, bias, y);
  return product.usable();
}

#endif

}  // namespace

template <class T>
void linear_forward(int64_t rows, int64_t in, int64_t out, const T* x, const T* w,
                    const Wide<T>* bias, T* y) {
  if constexpr (std::is_same_v<T, float>) {
    if (bias != nullptr && rows * in * out > 0 && fused_forward(rows, in, out, x, w, bias, y)) {
      return;
    }
  }
  gemm(Op::none, Op::transpose, rows, out, in, Wide<T>(1), x, in, w, in, Wide<T>(0), y, out);
  if (bias != nullptr) add_broadcast(rows, out, y, bias, y);
}

template <class T>
void linear_backward(int64_t rows, int64_t in, int64_t out, const T* gy, const T* w, T* gx) {
  gemm(Op::none, Op::none, rows, in, out, Wide<T>(1), gy, out, w, in, Wide<T>(0), gx, in);
}

#define MINNOW_INSTANTIATE(T)                                                                    \
  template void linear_forward<T>(int64_t, int64_t, int64_t, const T*, const T*, const Wide<T>*, \
                                  T*);                                                           \
  template void linear_backward<T>(int64_t, int64_t, int64_t, const T*, const T*, T*);
MINNOW_INSTANTIATE(float)
MINNOW_INSTANTIATE(double)
MINNOW_INSTANTIATE(bfloat16)
#undef MINNOW_INSTANTIATE

}  // namespace minnow::cuda
