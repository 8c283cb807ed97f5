#include <dnnl.h>
#include <fmt/format.h>
#include <omp.h>

#include <fstream>
#include <string>

#include "engine/machine.h"
#include "train/commands.h"
#if MINNOW_CUDA
#include "kernels/runtime.h"
#endif

namespace minnow {
namespace {

std::string processor() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  }
  return "unknown";
}

/// The widest vectors that the program itself was compiled for; oneDNN finds out what the processor
/// has.
const char* vectors() {
#if defined(__AVX512F__)
  return "AVX-512";
#elif defined(__AVX2__)
  return "AVX2";
#elif defined(__ARM_NEON)
  return "NEON";
#else
  return "the processor family's base";
#endif
}

const char* build() {
#if !defined(__OPTIMIZE__)
  return "not optimised: slow";
#elif defined(__SANITIZE_ADDRESS__)
  return "with sanitizers: slow";
#else
  return "optimised";
#endif
}

void print_rates(Device device) {
  const MachineRates& rates = machine_rates(device);
  fmt::print("  products {:.0f} GFLOP/s in float32\n", rates.flops / 1e9);
  fmt::print("  copies   {:.1f} GB/s read and written\n", rates.bytes / 1e9);
  fmt::print(
      "  tau      {:.0f} rows per micro-batch: from there on its gradients are written, below only "
      "measured\n",
      measured_tau(device));
}

void print_cuda() {
#if MINNOW_CUDA
  const std::string problem = cuda_problem();
  if (!problem.empty()) {
    fmt::print("CUDA       can't be used: {}\n", problem);
    return;
  }
  const cuda::DeviceInfo& info = cuda::device_info();
  fmt::print("CUDA       {}\n", info.name);
  if (cuda_is_emulated()) return;  // its speed says nothing
  fmt::print("  runtime  {}, driver for {}, compute capability {}.{}\n", info.runtime, info.driver,
             info.major, info.minor);
  fmt::print("  memory   {:.1f} GiB, {} multiprocessors\n",
             static_cast<double>(info.memory) / (1 << 30), info.multiprocessors);
  print_rates(Device::cuda());
#else
  fmt::print("CUDA       {}\n", cuda_problem());
#endif
}

}  // namespace

std::string version() {
  return "minnow " MINNOW_VERSION;
}

std::string machine() {
  std::string text = fmt::format("{}, {} threads", processor(), omp_get_max_threads());
#if MINNOW_CUDA
  if (cuda_problem().empty()) text += ", " + std::string(cuda::device_info().name);
#endif
  return text;
}

int info_command() {
  const dnnl_version_t* dnnl = dnnl_version();
  fmt::print("{}\n", version());
  fmt::print("build      {}, compiler {}, vectors: {}\n", build(), __VERSION__, vectors());
  fmt::print("processor  {}\n", processor());
  fmt::print("threads    {}\n", omp_get_max_threads());
  fmt::print("oneDNN     {}.{}.{}\n", dnnl->major, dnnl->minor, dnnl->patch);
  print_rates(Device::cpu());
  print_cuda();
  return 0;
}

}  // namespace minnow
