#include "engine/machine.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "engine/tensor.h"
#include "kernels/binary.h"
#include "kernels/gemm.h"

namespace minnow {
namespace {

/// Seconds of the fastest of a few runs, after one to warm up: other programs can only make a run
/// slower.
template <class F>
double fastest(F&& run) {
  run();
  double best = 1e9;
  for (int i = 0; i < 5; ++i) {
    const auto start = std::chrono::steady_clock::now();
    run();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    best = std::min(best, took.count());
  }
  return best;
}

}  // namespace

const MachineRates& machine_rates() {
  static const MachineRates rates = [] {
    constexpr int64_t n = 768, long_array = int64_t{16} << 20;
    const Tensor a = Tensor::full({n, n}, 0.5), b = Tensor::full({n, n}, 0.25);
    const Tensor c = Tensor::zeros({n, n});
    const double product = fastest([&] {
      cpu::gemm(Op::none, Op::transpose, n, n, n, 1.0f, a.data<float>(), n, b.data<float>(), n,
                0.0f, c.data<float>(), n);
    });
    const Tensor from = Tensor::zeros({long_array}), to = Tensor::zeros({long_array});
    const double copy =
        fastest([&] { cpu::scale(long_array, 1.0f, from.data<float>(), to.data<float>()); });
    return MachineRates{2.0 * n * n * n / product, 8.0 * long_array / copy};
  }();
  return rates;
}

double measured_tau() {
  const double tau = 6 * machine_rates().flops / machine_rates().bytes;
  return std::exp2(std::round(std::log2(tau)));
}

}  // namespace minnow
