#include "engine/machine.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "engine/groups.h"
#include "engine/memory.h"
#include "engine/tensor.h"
#include "kernels/binary.h"
#include "kernels/gemm.h"
#include "kernels/launch.h"
#include "kernels/outer.h"

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

/// Of a GPU's norm-only kernel, which is our own and does not share the rate of its library's
/// products; the CPU's is such a product.
double norm_rate(Device device) {
  using T = float;
  constexpr int64_t groups = 64, rows = 64, width = 768;
  const Tensor a = Tensor::full({groups * rows, width}, 0.5, DType::float32, device);
  const Tensor sumsq = Tensor::zeros({groups}, DType::float64, device);
  const Grouping grouping = Grouping::runs(groups * rows, rows);
  const Segments segments = grouping.segments(groups * rows, device);
  const double took = fastest(device, [&] {
    MINNOW_ON(device, outer_group_sumsq<T>)
    (segments, width, width, a.data<T>(), a.data<T>(), sumsq.data<double>());
  });
  return 2.0 * groups * rows * width * width / took;
}

MachineRates measure(Device device) {
  // Fixed, so that runs repeat to the bit.
  if (device.is_cuda() && cuda_is_emulated())
    return {.flops = 10e9, .bytes = 1e9, .norm_flops = 10e9};
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
  const double flops = 2 * cube / product;
  return {.flops = flops,
          .bytes = 8.0 * static_cast<double>(long_array) / copy,
          .norm_flops = device.is_cpu() ? flops : norm_rate(device)};
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
  const double tau = 6 * machine_rates(device).norm_flops / machine_rates(device).bytes;
  return std::exp2(std::round(std::log2(tau)));
}

}  // namespace minnow
