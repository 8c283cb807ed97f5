#pragma once

#include <cstdint>
#include <functional>

#include "data/dataset.h"
#include "train/config.h"

namespace minnow {

/// MixUp (arXiv 1710.09412) and CutMix (arXiv 1905.04899) inside of runs of examples, each of which
/// takes one of the two or stays as it is.
struct MixOptions {
  double mixup = 0, cutmix = 0;  ///< alpha of lambda's Beta(alpha, alpha); 0: never that one
  double chance = 1;             ///< that a run is mixed
  double cutmix_chance = 0.5;    ///< that it takes CutMix, where both are wanted
  int64_t run = 1;               ///< consecutive examples that may be mixed with each other
  int64_t classes = 1;
  uint64_t seed = 0;
};

/// Mixes float32 pictures [B, C, H, W] in place and turns labels [B] into probabilities
/// [B, classes], float32. Example i of a run of n takes 1 - lambda of example n - 1 - i:
///     MixUp   x_i = lambda x_i + (1 - lambda) x_partner
///     CutMix  a box of the partner, the same in all of the run; lambda is the share of the rest
///     both    target_i = lambda onehot(y_i) + (1 - lambda) onehot(y_partner)
/// All that is random is keyed by (seed, epoch, id of the run's first example), so that a
/// micro-batch is the same in any batch.
void mix_batch(Batch& batch, const MixOptions& options, int64_t epoch);

/// mix_batch as a configuration has it: partners stay within a micro-batch where a step looks at
/// micro-batches. Empty where nothing is mixed.
std::function<void(Batch&, int64_t epoch)> batch_mixer(const Config& config, int64_t classes);

}  // namespace minnow
