#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "engine/groups.h"
#include "train/evaluate.h"

namespace minnow {

/// The mean loss of the examples whose micro-batch has a finite gradient; NaN where there is none.
/// losses [B] float32 on the host, norms one number a group.
double finite_loss(const Tensor& losses, const std::vector<double>& norms, const Grouping& groups);

/// Where a run is.
struct RunPlace {
  int64_t step = 0;   ///< updates made
  int64_t epoch = 0;  ///< the pass over the data that they are in, from 1
};

/// One line of metrics.jsonl. norm_mean and norm_max are taken over the finite norms.
nlohmann::json step_record(const RunPlace& place, double loss, double lr, const GroupNorms& groups,
                           double examples_per_s);
/// Adds `norms`, `coefficients`, `marked` and `ids`, one number per micro-batch, and `domains`
/// where every micro-batch has one. Under Scope::layer a coefficient is the mean over the
/// parameters. marked is 1 where a micro-batch holds a marked example; the id is that of its first
/// example, of `ids` [B] int64 on the host.
void add_groups(nlohmann::json& record, const GroupNorms& seen, const Grouping& groups,
                const std::vector<bool>& marked, const Tensor& ids);
/// Adds `grad_norm`, from the squared norms [L] float64 of the parameters' updates, on the host.
void add_grad_norm(nlohmann::json& record, const Tensor& squared_norms);
/// What a Score says: "loss", "top1", "top5" and, where there are several, "domains" {name: top1};
/// or "loss", "wer", "cer", the counts behind them, "impossible", and "domains" {name: wer}.
nlohmann::json score_record(const Score& score);
/// score_record of an evaluation of a run. With `averaged`: true where it was the averaged weights
/// that were measured. Up to 100 classes, `classes` are their names and `confusion` the matrix of
/// the Score, row by row.
nlohmann::json eval_record(const RunPlace& place, const Score& score, bool averaged,
                           const std::vector<std::string>& classes);

/// The last record of a run that stopped because `why`, "the weights are not finite numbers", after
/// `step` updates that were sound.
nlohmann::json divergence_record(int64_t step, const std::string& why);

}  // namespace minnow
