#pragma once

#include <string_view>

namespace minnow {

/// Where a tensor lives and where its operations run.
class Device {
 public:
  enum class Kind { cpu, cuda };

  static constexpr Device cpu() { return Device(Kind::cpu); }

  constexpr Kind kind() const { return kind_; }
  constexpr bool is_cpu() const { return kind_ == Kind::cpu; }
  constexpr std::string_view name() const { return is_cpu() ? "cpu" : "cuda"; }
  constexpr bool operator==(const Device&) const = default;

 private:
  explicit constexpr Device(Kind kind) : kind_(kind) {}
  Kind kind_;
};

}  // namespace minnow
