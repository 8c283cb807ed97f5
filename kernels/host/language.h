#pragma once

// The part of CUDA C++ that our kernels use, for a host compiler. Included by kernels/cuda.h only.

#include <math.h>

#include <algorithm>
#include <bit>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "kernels/host/fibres.h"

// NOLINTBEGIN(bugprone-reserved-identifier): the names are CUDA's.

// __shared__ stays undefined: a kernel that says it, not MINNOW_SHARED, does not compile here.
#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(bytes) alignas(bytes)

#define MINNOW_VECTOR2(name, T, alignment) \
  struct alignas(alignment) name {         \
    T x, y;                                \
  };                                       \
  inline name make_##name(T x, T y) {      \
    return {x, y};                         \
  }
#define MINNOW_VECTOR4(name, T, alignment)      \
  struct alignas(alignment) name {              \
    T x, y, z, w;                               \
  };                                            \
  inline name make_##name(T x, T y, T z, T w) { \
    return {x, y, z, w};                        \
  }
MINNOW_VECTOR2(float2, float, 8)
MINNOW_VECTOR2(double2, double, 16)
MINNOW_VECTOR2(int2, int, 8)
MINNOW_VECTOR2(uint2, unsigned, 8)
MINNOW_VECTOR4(float4, float, 16)
MINNOW_VECTOR4(int4, int, 16)
MINNOW_VECTOR4(uint4, unsigned, 16)
MINNOW_VECTOR4(ushort4, unsigned short, 8)
#undef MINNOW_VECTOR2
#undef MINNOW_VECTOR4

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

// Those of the thread that runs: the scheduler sets them whenever it changes to another.
inline uint3 threadIdx, blockIdx;
inline dim3 blockDim, gridDim;
inline constexpr int warpSize = 32;

namespace minnow::cuda {

template <class T>
T* dynamic_shared() {
  return static_cast<T*>(host::dynamic_shared_memory());
}

/// MINNOW_SHARED(float, tile, [32][33]); the static variable is the key of the memory: every
/// instantiation of a kernel has its own.
#define MINNOW_SHARED(type, name, extent)                                    \
  static const char minnow_key_##name = 0;                                   \
  using minnow_type_##name = type extent;                                    \
  minnow_type_##name& name =                                                 \
      *static_cast<minnow_type_##name*>(::minnow::cuda::host::shared_memory( \
          &minnow_key_##name, sizeof(minnow_type_##name), alignof(minnow_type_##name)))

namespace host {

template <class T>
T shuffle_value(const char* name, unsigned mask, T value, int source, Site site) {
  static_assert(std::is_trivially_copyable_v<T> && (sizeof(T) == 4 || sizeof(T) == 8));
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  bits = shuffle(name, mask, bits, source, site);
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

template <class T, class... Allowed>
concept AnyOf = (std::same_as<T, Allowed> || ...);
template <class T>
concept AtomicInteger = AnyOf<T, int, unsigned, unsigned long long>;
template <class T>
concept AtomicNumber = AtomicInteger<T> || AnyOf<T, float, double>;

/// Stores `after` and returns what was there. No thread runs beside another: nothing can come
/// between.
template <class T>
T replace(T* place, T after) {
  const T before = *place;
  *place = after;
  return before;
}

}  // namespace host
}  // namespace minnow::cuda

// ---- Waiting for other threads ----

inline void __syncthreads(minnow::cuda::host::Site site = {}) {
  minnow::cuda::host::barrier("__syncthreads", false, site);
}
inline int __syncthreads_count(int predicate, minnow::cuda::host::Site site = {}) {
  return minnow::cuda::host::barrier("__syncthreads_count", predicate != 0, site);
}
inline int __syncthreads_or(int predicate, minnow::cuda::host::Site site = {}) {
  return minnow::cuda::host::barrier("__syncthreads_or", predicate != 0, site) != 0;
}
inline int __syncthreads_and(int predicate, minnow::cuda::host::Site site = {}) {
  return minnow::cuda::host::barrier("__syncthreads_and", predicate == 0, site) == 0;
}
inline void __syncwarp(unsigned mask = 0xffffffff, minnow::cuda::host::Site site = {}) {
  minnow::cuda::host::vote("__syncwarp", mask, false, site);
}
inline unsigned __ballot_sync(unsigned mask, int predicate, minnow::cuda::host::Site site = {}) {
  return minnow::cuda::host::vote("__ballot_sync", mask, predicate != 0, site);
}
inline int __any_sync(unsigned mask, int predicate, minnow::cuda::host::Site site = {}) {
  return minnow::cuda::host::vote("__any_sync", mask, predicate != 0, site) != 0;
}
inline int __all_sync(unsigned mask, int predicate, minnow::cuda::host::Site site = {}) {
  return minnow::cuda::host::vote("__all_sync", mask, predicate == 0, site) == 0;
}
/// The least that a device may answer: nothing promises that lanes run together.
inline unsigned __activemask() {
  return 1u << minnow::cuda::host::lane();
}

// A shuffle works in groups of `width` lanes; out of its group a lane reads its own value.
template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = warpSize,
              minnow::cuda::host::Site site = {}) {
  const int group = minnow::cuda::host::lane() & ~(width - 1);
  return minnow::cuda::host::shuffle_value("__shfl_sync", mask, value,
                                           group + (source & (width - 1)), site);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = warpSize,
                 minnow::cuda::host::Site site = {}) {
  const int lane = minnow::cuda::host::lane(), source = lane - static_cast<int>(delta & 31);
  return minnow::cuda::host::shuffle_value("__shfl_up_sync", mask, value,
                                           source < (lane & ~(width - 1)) ? lane : source, site);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = warpSize,
                   minnow::cuda::host::Site site = {}) {
  const int lane = minnow::cuda::host::lane(), source = lane + static_cast<int>(delta & 31);
  return minnow::cuda::host::shuffle_value("__shfl_down_sync", mask, value,
                                           source > (lane | (width - 1)) ? lane : source, site);
}
/// Unlike the others it also reads earlier groups.
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = warpSize,
                  minnow::cuda::host::Site site = {}) {
  const int lane = minnow::cuda::host::lane(), source = lane ^ (lanes & 31);
  return minnow::cuda::host::shuffle_value("__shfl_xor_sync", mask, value,
                                           source > (lane | (width - 1)) ? lane : source, site);
}

// ---- Atomic operations: each returns the value before ----

template <minnow::cuda::host::AtomicNumber T>
T atomicAdd(T* place, std::type_identity_t<T> value) {
  return minnow::cuda::host::replace<T>(place, *place + value);
}
template <minnow::cuda::host::AtomicInteger T>
T atomicMax(T* place, std::type_identity_t<T> value) {
  return minnow::cuda::host::replace<T>(place, std::max(*place, value));
}
template <minnow::cuda::host::AtomicInteger T>
T atomicMin(T* place, std::type_identity_t<T> value) {
  return minnow::cuda::host::replace<T>(place, std::min(*place, value));
}
template <minnow::cuda::host::AtomicInteger T>
T atomicOr(T* place, std::type_identity_t<T> value) {
  return minnow::cuda::host::replace<T>(place, *place | value);
}
template <minnow::cuda::host::AtomicInteger T>
T atomicCAS(T* place, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  return minnow::cuda::host::replace<T>(place, *place == expected ? value : *place);
}
template <minnow::cuda::host::AtomicNumber T>
requires(!std::same_as<T, double>) T atomicExch(T* place, std::type_identity_t<T> value) {
  return minnow::cuda::host::replace<T>(place, value);
}
inline void __threadfence() {}
inline void __threadfence_block() {}

// ---- Numbers: <math.h> has sqrtf, expf, fmaf, erff and the others at global scope ----

using std::max;
using std::min;

template <class T>
T __ldg(const T* place) {
  return *place;
}
inline float rsqrtf(float x) {
  return 1 / sqrtf(x);
}
inline float rsqrt(float x) {
  return 1 / sqrtf(x);
}
inline double rsqrt(double x) {
  return 1 / ::sqrt(x);
}
inline float __expf(float x) {
  return expf(x);
}
inline float __logf(float x) {
  return logf(x);
}
inline float __fdividef(float x, float y) {
  return x / y;
}

inline int __float_as_int(float x) {
  return std::bit_cast<int>(x);
}
inline unsigned __float_as_uint(float x) {
  return std::bit_cast<unsigned>(x);
}
inline float __int_as_float(int x) {
  return std::bit_cast<float>(x);
}
inline float __uint_as_float(unsigned x) {
  return std::bit_cast<float>(x);
}
inline long long __double_as_longlong(double x) {
  return std::bit_cast<long long>(x);
}
inline double __longlong_as_double(long long x) {
  return std::bit_cast<double>(x);
}

inline int __popc(unsigned x) {
  return std::popcount(x);
}
inline int __popcll(unsigned long long x) {
  return std::popcount(x);
}
inline int __clz(int x) {
  return std::countl_zero(static_cast<unsigned>(x));
}
inline int __ffs(int x) {
  return x == 0 ? 0 : std::countr_zero(static_cast<unsigned>(x)) + 1;
}
inline unsigned __umulhi(unsigned x, unsigned y) {
  return static_cast<unsigned>((static_cast<uint64_t>(x) * y) >> 32);
}
inline unsigned __brev(unsigned x) {
  unsigned reversed = 0;
  for (int bit = 0; bit < 32; ++bit) reversed |= ((x >> bit) & 1u) << (31 - bit);
  return reversed;
}

// NOLINTEND(bugprone-reserved-identifier)
