#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "nn/module.h"
#include "train/config.h"
#include "train/decoder.h"
#include "train/domain_score.h"
#include "train/text_errors.h"

namespace minnow {

/// How well a model does on a data set; shares are in 0..1. Of a model that transcribes there are
/// the loss, the examples and the text, of others all but the text.
struct Score {
  double loss = 0;  ///< mean cross-entropy, without label smoothing; of a transcript minus the
                    ///< logarithm of its probability, where that is not 0
  double top1 = 0;  ///< share of the examples whose label has the highest logit
  double top5 = 0;  ///< share of those whose label is among the five highest
  int64_t examples = 0;
  int64_t classes = 0;  ///< K
  /// [K, K] row-major: how many examples of the label `row` have the highest logit at `column`.
  std::vector<int64_t> confusion = {};
  DomainScore domains = {};            ///< top1, or the text, in each of the data set's domains
  std::optional<TextScore> text = {};  ///< of the decoder's transcripts, against Example::text
  int64_t impossible = 0;  ///< transcripts that no path through their frames gives: not in the loss

  int64_t confused(int64_t label, int64_t with) const { return confusion[label * classes + with]; }
  /// Examples of a label, and those of them that top1 counts.
  int64_t count(int64_t label) const;
  int64_t correct(int64_t label) const { return confused(label, label); }
};

/// 0 where the label's logit is the highest of its row, 1 for the second, ... Among equals the
/// first comes first; a logit that is NaN makes the label the last.
int64_t label_rank(const float* logits, int64_t classes, int64_t label);

/// "loss 0.1234, top-1 90.00 %, top-5 99.00 %" or "loss 12.3456, WER 9.80 %, CER 4.30 %".
std::string to_string(const Score& score);
/// One line each for words and for characters: how many there are, and which errors.
std::string text_table(const TextScore& text);

/// Runs all of `dataset` (float32 inputs) through the model without gradients, on the model's
/// device and as `config` says. `decoder` makes the transcripts.
Score evaluate(nn::Model& model, const Config& config, std::shared_ptr<const Dataset> dataset,
               const DecoderOptions& decoder = {});

}  // namespace minnow
