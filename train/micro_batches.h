#pragma once

#include <functional>
#include <span>

#include "data/dataset.h"
#include "engine/groups.h"
#include "train/config.h"

/// Which examples of a batch make a micro-batch.
namespace minnow {

/// Error unless the data have what clip.group asks of them.
void check_groups(const Config& config, const Dataset& dataset);

/// clip.group = "runs": clip.micro_batch examples one after another, the last ones perhaps fewer.
/// "domain": the examples of each domain by themselves, n of them in ceil(n / clip.micro_batch)
/// micro-batches of about the same size, the first ones in the first; every micro-batch knows its
/// domain. The order() of that is empty for a batch that is arranged already. One group, where the
/// run looks at no micro-batches.
Grouping micro_batches(const Config& config, const Batch& batch);

/// Position i takes example order[i] of the batch, which is on the host.
Batch arranged(const Batch& batch, std::span<const int64_t> order);

/// What is done to every training batch before it is used: it is arranged in micro-batches, and its
/// pictures are mixed; for Loader. Null where nothing is to be done.
std::function<void(Batch&, int64_t epoch)> batch_finisher(const Config& config, int64_t classes);

}  // namespace minnow
