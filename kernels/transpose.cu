#include "kernels/device.h"
#include "kernels/transpose.h"

namespace minnow::cuda {
namespace {

/// A square of this side passes through shared memory, so that both arrays are touched in whole
/// lines; blocks are 32 x 8 threads.
constexpr int tile = warp_lanes;

/// Moves (2 sizeof(T)) bytes an element: bound by memory. Block (x, y, z): columns, rows, example.
template <class T>
__global__ void transpose_kernel(int64_t examples, int64_t rows, int64_t columns, const T* x,
                                 T* y) {
  MINNOW_SHARED(T, square, [tile][tile + 1]);  // one more: no two rows share their banks
  const int64_t left = int64_t{blockIdx.x} * tile;
  for (int64_t e = blockIdx.z; e < examples; e += gridDim.z) {
    const T* from = x + e * rows * columns;
    T* to = y + e * rows * columns;
    for (int64_t top = int64_t{blockIdx.y} * tile; top < rows; top += int64_t{gridDim.y} * tile) {
      for (int k = threadIdx.y; k < tile; k += matrix_rows) {
        const int64_t i = top + k, j = left + threadIdx.x;
        if (i < rows && j < columns) square[k][threadIdx.x] = from[i * columns + j];
      }
      __syncthreads();
      for (int k = threadIdx.y; k < tile; k += matrix_rows) {
        const int64_t i = top + threadIdx.x, j = left + k;
        if (i < rows && j < columns) to[j * rows + i] = square[threadIdx.x][k];
      }
      __syncthreads();  // the next square overwrites this one
    }
  }
}

}  // namespace

template <class T>
void transpose(int64_t examples, int64_t rows, int64_t columns, const T* x, T* y) {
  constexpr int64_t most = 65535;  // of the grid's second and third size
  const dim3 grid(static_cast<unsigned>(ceil_div(columns, tile)),
                  static_cast<unsigned>(std::min(ceil_div(rows, tile), most)),
                  static_cast<unsigned>(std::min(examples, most)));
  MINNOW_LAUNCH(grid, matrix_block, 0, transpose_kernel<T>, examples, rows, columns, x, y);
}

template void transpose<float>(int64_t, int64_t, int64_t, const float*, float*);
template void transpose<double>(int64_t, int64_t, int64_t, const double*, double*);
template void transpose<bfloat16>(int64_t, int64_t, int64_t, const bfloat16*, bfloat16*);

}  // namespace minnow::cuda
