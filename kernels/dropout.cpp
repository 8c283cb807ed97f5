#include "kernels/dropout.h"

#include <algorithm>
#include <cmath>

#include "kernels/launch.h"

namespace minnow::cpu {
namespace {

/// Elements of one unit of work, all of one example; a multiple of 4, so that it starts with a
/// whole random block.
constexpr int64_t unit = 4096;

RandomKey key_of(RandomKey key, const int64_t* ids, int64_t e) {
  key.example = static_cast<uint64_t>(ids == nullptr ? e : ids[e]);
  return key;
}

/// word[i] = element first + i of the key's sequence, for whole blocks.
void fill_words(const RandomKey& key, int64_t first, int64_t blocks, uint32_t* word) {
  const uint32_t block = static_cast<uint32_t>(first / 4);
#pragma omp simd
  for (int64_t b = 0; b < blocks; ++b) {
    const Random4 four = key.block(block + static_cast<uint32_t>(b));
    word[4 * b] = four.word[0];
    word[4 * b + 1] = four.word[1];
    word[4 * b + 2] = four.word[2];
    word[4 * b + 3] = four.word[3];
  }
}

}  // namespace

template <class T>
void dropout(int64_t examples, int64_t width, RandomKey key, const int64_t* ids, double p,
             const T* x, T* y) {
  // u has 24 bits: u >= p exactly where they, as a whole number, reach p 2^24 rounded up.
  const uint32_t threshold = static_cast<uint32_t>(std::ceil(p * 0x1p24));
  const T scale = static_cast<T>(1 / (1 - p));
  const int64_t units = (width + unit - 1) / unit;
  const int64_t grain = width < unit ? unit / (width + 1) + 1 : 1;
  parallel_for(examples * units, grain, [=](int64_t begin, int64_t end) {
    uint32_t word[unit];
    for (int64_t i = begin; i < end; ++i) {
      const int64_t e = i / units, first = i % units * unit, n = std::min(unit, width - first);
      fill_words(key_of(key, ids, e), first, (n + 3) / 4, word);
      const T* from = x + e * width + first;
      T* to = y + e * width + first;
#pragma omp simd
      for (int64_t k = 0; k < n; ++k) {
        const T scaled = from[k] * scale;
        to[k] = (word[k] >> 8) >= threshold ? scaled : T(0);
      }
    }
  });
}

template <class T>
void drop_path(int64_t examples, int64_t width, RandomKey key, const int64_t* ids, double p,
               const T* x, T* y) {
  const T scale = static_cast<T>(1 / (1 - p));
  parallel_for(examples, element_grain / (width + 1) + 1, [=](int64_t begin, int64_t end) {
    for (int64_t e = begin; e < end; ++e) {
      const T* from = x + e * width;
      T* to = y + e * width;
      if (static_cast<double>(key_of(key, ids, e).uniform(0)) < p) {
        std::fill_n(to, width, T(0));
        continue;
      }
#pragma omp simd
      for (int64_t k = 0; k < width; ++k) to[k] = from[k] * scale;
    }
  });
}

#define MINNOW_INSTANTIATE(T)                                                                  \
  template void dropout<T>(int64_t, int64_t, RandomKey, const int64_t*, double, const T*, T*); \
  template void drop_path<T>(int64_t, int64_t, RandomKey, const int64_t*, double, const T*, T*);
MINNOW_INSTANTIATE(float)
MINNOW_INSTANTIATE(double)
#undef MINNOW_INSTANTIATE

}  // namespace minnow::cpu
