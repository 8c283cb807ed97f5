#include "train/evaluate.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "data/loader.h"
#include "engine/group_sinks.h"
#include "engine/ops.h"
#include "train/task.h"

namespace minnow {
namespace {

// Large enough for efficient products, small enough to need less memory than a training step.
constexpr int64_t kBatch = 64;

/// The label itself where its rank is 0, otherwise what stands before it.
int64_t predicted(const float* logits, int64_t classes, int64_t label, int64_t rank) {
  if (rank == 0) return label;
  int64_t best = label == 0 ? 1 : 0;
  for (int64_t c = best + 1; c < classes; ++c) {
    const bool better =
        logits[c] > logits[best] || (std::isnan(logits[c]) && !std::isnan(logits[best]));
    if (c != label && better) best = c;
  }
  return best;
}

void add(const Batch& batch, const Tensor& logits, const Tensor& losses, Score& sums) {
  const int64_t classes = logits.dim(1);
  sums.classes = classes;
  sums.confusion.resize(static_cast<size_t>(classes * classes));
  for (int64_t i = 0; i < batch.size(); ++i) {
    const int64_t label = batch.labels.data<int64_t>()[i];
    const float* row = logits.data<float>() + i * classes;
    const int64_t rank = label_rank(row, classes, label);
    ++sums.confusion[label * classes + predicted(row, classes, label, rank)];
    sums.loss += losses.data<float>()[i];
    sums.top1 += rank < 1 ? 1 : 0;
    sums.domains.add(batch.domains[i], rank < 1);
    sums.top5 += rank < 5 ? 1 : 0;
  }
  sums.examples += batch.size();
}

/// Adds what the logits [B, T, V] say as text; those that are not finite say nothing.
void add_text(const Batch& batch, const Tensor& logits, const Tensor& frames, const Tensor& losses,
              const Decoder& decoder, Score& sums) {
  const int64_t room = logits.dim(1), classes = logits.dim(2);
  if (!sums.text) sums.text.emplace();
  for (int64_t i = 0; i < batch.size(); ++i) {
    const float* rows = logits.data<float>() + i * room * classes;
    const int64_t n = frames.data<int64_t>()[i];
    const bool sound = all_finite({rows, static_cast<size_t>(n * classes)});
    TextScore text;
    text.add(batch.texts[static_cast<size_t>(i)], sound ? decoder.text(rows, n) : "");
    *sums.text += text;
    sums.domains.add(batch.domains[static_cast<size_t>(i)], text);
    const float loss = losses.data<float>()[i];
    if (std::isinf(loss)) {
      ++sums.impossible;
    } else {
      sums.loss += loss;
    }
  }
  sums.examples += batch.size();
}

}  // namespace

std::string to_string(const Score& score) {
  if (score.text) {
    return fmt::format("loss {:.4f}, WER {:.2f} %, CER {:.2f} %", score.loss,
                       100 * score.text->words.rate(), 100 * score.text->characters.rate());
  }
  return fmt::format("loss {:.4f}, top-1 {:.2f} %, top-5 {:.2f} %", score.loss, 100 * score.top1,
                     100 * score.top5);
}

std::string text_table(const TextScore& text) {
  std::string lines;
  for (const auto& [name, e] :
       {std::pair{"words", text.words}, std::pair{"characters", text.characters}}) {
    lines += fmt::format("{:<12}{} of {} wrong: {} substituted, {} deleted, {} inserted\n", name,
                         e.errors(), e.reference, e.substitutions, e.deletions, e.insertions);
  }
  return lines;
}

int64_t Score::count(int64_t label) const {
  const auto row = confusion.begin() + label * classes;
  return std::accumulate(row, row + classes, int64_t{0});
}

int64_t label_rank(const float* logits, int64_t classes, int64_t label) {
  const float own = logits[label];
  if (std::isnan(own)) return classes - 1;
  int64_t rank = 0;
  for (int64_t c = 0; c < classes; ++c) {
    const bool before = logits[c] > own || std::isnan(logits[c]) || (logits[c] == own && c < label);
    rank += before ? 1 : 0;
  }
  return rank;
}

Score evaluate(nn::Model& model, const Config& config, std::shared_ptr<const Dataset> dataset,
               const DecoderOptions& decoder) {
  const Device device = device_of(model.parameters());
  std::optional<Decoder> transcriber;
  if (dataset->transcribed()) transcriber.emplace(decoder, dataset->classes());
  Loader loader(std::move(dataset), {.batch = kBatch, .workers = config.data.workers});
  loader.start_epoch(0);
  Score score;
  score.domains.names = loader.dataset().domains();
  while (const std::optional<Batch> batch = loader.next()) {
    Tape tape(Tape::Mode::evaluate);
    const Tensor logits = logits_of(model, config, tape, batch->inputs.to(device), batch->lengths)
                              .value()
                              .to(Device::cpu());
    Tape scoring(Tape::Mode::evaluate);
    const Var x = scoring.input(logits);
    if (batch->targets.defined()) {
      const Tensor frames = output_lengths(model, batch->lengths);
      const Var losses = ctc_loss(x, frames, batch->targets, batch->target_lengths);
      add_text(*batch, logits, frames, losses.value(), *transcriber, score);
    } else {
      add(*batch, logits, cross_entropy(x, batch->labels).value(), score);
    }
  }
  const auto n = static_cast<double>(score.examples);
  score.loss /= std::max(n - static_cast<double>(score.impossible), 1.0);
  score.top1 /= n;
  score.top5 /= n;
  return score;
}

}  // namespace minnow
