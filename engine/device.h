#pragma once

#include <string>
#include <string_view>

namespace minnow {

/// Where a tensor lives and where its operations run: the processor, or the first NVIDIA GPU.
class Device {
 public:
  enum class Kind { cpu, cuda };

  static constexpr Device cpu() { return Device(Kind::cpu); }
  static constexpr Device cuda() { return Device(Kind::cuda); }

  constexpr Kind kind() const { return kind_; }
  constexpr bool is_cpu() const { return kind_ == Kind::cpu; }
  constexpr bool is_cuda() const { return kind_ == Kind::cuda; }
  constexpr std::string_view name() const { return is_cpu() ? "cpu" : "cuda"; }
  constexpr bool operator==(const Device&) const = default;

 private:
  explicit constexpr Device(Kind kind) : kind_(kind) {}
  Kind kind_;
};

/// Why Device::cuda() can't be used, in one line; empty where it can.
std::string cuda_problem();

/// Whether Device::cuda() is this build's processor executing the CUDA sources, for tests.
constexpr bool cuda_is_emulated() {
#ifdef MINNOW_CUDA_HOST
  return true;
#else
  return false;
#endif
}

}  // namespace minnow
