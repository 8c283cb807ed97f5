#pragma once

#include <cmath>
#include <cstdint>

/// Marks a function that the CUDA compiler also compiles for the device.
#ifdef __CUDACC__
#define MINNOW_HOST_DEVICE __host__ __device__
#else
#define MINNOW_HOST_DEVICE
#endif

namespace minnow {

/// Four random words.
struct Random4 {
  uint32_t word[4];
};

/// Philox 4x32 with 10 rounds: a bijection of the 128-bit counter for every 64-bit key.
/// Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
MINNOW_HOST_DEVICE inline Random4 philox4x32(Random4 counter, uint32_t key0, uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53u} * counter.word[0];
    const uint64_t p1 = uint64_t{0xCD9E8D57u} * counter.word[2];
    counter = {{static_cast<uint32_t>(p1 >> 32) ^ counter.word[1] ^ key0, static_cast<uint32_t>(p1),
                static_cast<uint32_t>(p0 >> 32) ^ counter.word[3] ^ key1,
                static_cast<uint32_t>(p0)}};
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return counter;
}

/// A random sequence, found again from its name alone: (seed, stream, step, example). Element i of
/// it is the same whatever the batch, the micro-batch, the worker or the device that asks.
struct RandomKey {
  uint64_t seed = 0;
  uint32_t stream = 0;  ///< which use: one dropout layer, the shuffle, an augmentation, ...
  uint64_t step = 0;    ///< optimizer step or epoch; the lower 32 bits count
  uint64_t example = 0;

  /// Elements 4 * block .. 4 * block + 3, as random words.
  MINNOW_HOST_DEVICE Random4 block(uint32_t block) const {
    // The upper half of a long example id joins the stream, so that ids beyond 2^32 stay distinct
    // in practice.
    const uint32_t high = static_cast<uint32_t>(example >> 32);
    return philox4x32({{block, static_cast<uint32_t>(example), static_cast<uint32_t>(step),
                        stream ^ (high * 0x9E3779B9u)}},
                      static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32));
  }
  MINNOW_HOST_DEVICE uint32_t word(uint64_t element) const {
    return block(static_cast<uint32_t>(element / 4)).word[element % 4];
  }
  /// Uniform in [0, 1), 24 random bits.
  MINNOW_HOST_DEVICE float uniform(uint64_t element) const {
    return static_cast<float>(word(element) >> 8) * 0x1p-24f;
  }
};

/// Streams of the library; dropout layers count up from `dropout`.
namespace stream {
inline constexpr uint32_t initialise = 1, shuffle = 2, augment = 3, synthesise = 4, canary = 5,
                          mix = 6;
inline constexpr uint32_t dropout = 1u << 16;
}  // namespace stream

/// Draws one number after another from a key; for code that is no kernel.
class RandomSequence {
 public:
  explicit RandomSequence(RandomKey key) : key_(key) {}

  uint32_t word() { return key_.word(next_++); }
  double uniform() { return static_cast<double>(word() >> 8) * 0x1p-24; }
  double uniform(double low, double high) { return low + (high - low) * uniform(); }
  /// Uniform in [0, n), n > 0; the bias is below n / 2^32.
  int64_t below(int64_t n) {
    return static_cast<int64_t>((uint64_t{word()} * static_cast<uint64_t>(n)) >> 32);
  }
  /// Standard normal, by Box and Muller.
  double normal() {
    const double u =
        (static_cast<double>(word()) + 1.0) * 0x1p-32;  // (0, 1]: its logarithm is finite
    const double v = uniform();
    return std::sqrt(-2.0 * std::log(u)) * std::cos(6.283185307179586 * v);
  }

 private:
  RandomKey key_;
  uint64_t next_ = 0;
};

}  // namespace minnow
