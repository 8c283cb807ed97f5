#pragma once

#include <cstdint>
#include <string>

namespace minnow {

/// What a recipe says under `schedule`.
struct ScheduleConfig {
  std::string name = "cosine";  ///< constant, cosine or inverse_sqrt
  int64_t warmup = 0;           ///< steps
  double min_lr = 0;            ///< where cosine ends, and what inverse_sqrt does not go below
};

/// The learning rate of a step, counted from 0, of a run of N = total_steps steps. With w = warmup:
///   step < w:      base (step + 1) / w
///   constant:      base
///   cosine:        min_lr + (base - min_lr) (1 + cos(pi (step - w) / (N - w))) / 2, and min_lr for
///   step >= N inverse_sqrt:  max(min_lr, base sqrt(max(w, 1) / (step + 1)))
/// Sources: cosine without restarts, Loshchilov and Hutter, "SGDR", ICLR 2017; the inverse root,
/// Vaswani et al., "Attention is all you need", 2017. Error for an unknown name, and for min_lr
/// outside [0, base].
double learning_rate(const ScheduleConfig& config, double base, int64_t step, int64_t total_steps);

}  // namespace minnow
