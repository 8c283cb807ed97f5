#include "train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "engine/check.h"

namespace minnow {

double learning_rate(const ScheduleConfig& config, double base, int64_t step, int64_t total_steps) {
  const auto& [name, warmup, min_lr] = config;
  check(name == "constant" || name == "cosine" || name == "inverse_sqrt",
        "schedule.name: constant, cosine or inverse_sqrt; got {}", name);
  check(warmup >= 0, "schedule.warmup: must not be negative; got {}", warmup);
  check(min_lr >= 0 && (name == "constant" || min_lr <= base),
        "schedule.min_lr: must lie in [0, optim.lr] = [0, {}]; got {}", base, min_lr);
  check(step >= 0, "schedule: steps count from 0; got {}", step);

  const auto ratio = [](int64_t a, int64_t b) {
    return static_cast<double>(a) / static_cast<double>(b);
  };
  if (step < warmup) return base * ratio(step + 1, warmup);
  if (name == "constant") return base;
  if (name == "inverse_sqrt") {
    return std::max(min_lr, base * std::sqrt(ratio(std::max<int64_t>(warmup, 1), step + 1)));
  }
  if (step >= total_steps) return min_lr;
  const double angle = std::numbers::pi * ratio(step - warmup, total_steps - warmup);
  return min_lr + (base - min_lr) * (1 + std::cos(angle)) / 2;
}

}  // namespace minnow
