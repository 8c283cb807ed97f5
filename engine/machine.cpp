#include "engine/machine.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "engine/memory.h"
#include "engine/tensor.h"
#include "kernels/binary.h"
#include "kernels/gemm.h"
#include "kernels/launch.h"

namespace minnow {
namespace {

/// Seconds of the fastest of a few runs, after one to warm up: other programs can only make a run
/// slower.
template <class F>
double fastest(Device device, F&& run) {
  run();
  double best = 1e9;
  for (int i = 0; i < 5; ++i) {
    synchronize(device);
    const auto start = std::chrono::steady_clock::now();
    run();
    synchronize(device);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    best = std::min(best, took.count());
  }
  return best;
}

MachineRates measure(Device device) {
  // Fixed, so that runs repeat to the bit.
  if (device.is_cuda() && cuda_is_emulated()) return {.flops = 10e9, .bytes = 1e9};
  using T = float;
  // Large enough to fill a GPU, where it takes a few milliseconds all the same.
  const int64_t n = device.is_cpu() ? 768 : 4096;
  const int64_t long_array = int64_t{16} << (device.is_cpu() ? 20 : 22);
  const auto array = [&](const Shape& shape, double value) {
    return Tensor::full(shape, value, DType::float32, device);
  };
  const Tensor a = array({n, n}, 0.5), b = array({n, n}, 0.25), c = array({n, n}, 0);
  const double product = fastest(device, [&] {
    MINNOW_ON(device, gemm<T>)
    (Op::none, Op::transpose, n, n, n, 1.0f, a.data<T>(), n, b.data<T>(), n, 0.0f, c.data<T>(), n);
  });
  const Tensor from = array({long_array}, 0), to = array({long_array}, 0);
  const double copy = fastest(device, [&] {
    MINNOW_ON(device, scale<T>)(long_array, 1.0f, from.data<T>(), to.data<T>());
  });
  const auto cube = static_cast<double>(n) * static_cast<double>(n) * static_cast<double>(n);
  return {2 * cube / product, 8.0 * static_cast<double>(long_array) / copy};
}

}  // namespace

const MachineRates& machine_rates(Device device) {
  if (device.is_cpu()) {
    static const MachineRates rates = measure(device);
    return rates;
  }
  static const MachineRates rates = measure(device);
  return rates;
}

double measured_tau(Device device) {
  const double tau = 6 * machine_rates(device).flops / machine_rates(device).bytes;
  return std::exp2(std::round(std::log2(tau)));
}

}  // namespace minnow
