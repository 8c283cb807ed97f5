#include "train/micro_batches.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <vector>

#include "train/mix.h"

namespace minnow {
namespace {

bool by_domain(const Config& config) {
  return config.uses_groups() && config.clip.group == "domain";
}

Tensor arranged(const Tensor& rows, std::span<const int64_t> order) {
  if (!rows.defined()) return {};
  Tensor to = Tensor::empty(rows.shape(), rows.dtype());
  const int64_t row = rows.dim(0) == 0 ? 0 : rows.nbytes() / rows.dim(0);
  for (size_t i = 0; i < order.size() && row > 0; ++i) {
    std::memcpy(to.raw() + static_cast<int64_t>(i) * row, rows.raw() + order[i] * row,
                static_cast<size_t>(row));
  }
  return to;
}

template <class T>
std::vector<T> arranged(const std::vector<T>& values, std::span<const int64_t> order) {
  std::vector<T> to;
  for (const int64_t i : order) to.push_back(values[static_cast<size_t>(i)]);
  return to;
}

Grouping domain_groups(const std::vector<int64_t>& domains, int64_t micro_batch) {
  std::map<int64_t, int64_t> counts;
  for (const int64_t d : domains) ++counts[d];
  std::map<int64_t, int64_t> first;  // group of each domain
  std::vector<int64_t> domain_of_group;
  for (const auto& [d, n] : counts) {
    first[d] = std::ssize(domain_of_group);
    domain_of_group.insert(domain_of_group.end(),
                           static_cast<size_t>((n + micro_batch - 1) / micro_batch), d);
  }
  std::map<int64_t, int64_t> seen;
  std::vector<int64_t> group_of;
  for (const int64_t d : domains) {
    const int64_t n = counts[d], groups = (n + micro_batch - 1) / micro_batch;
    group_of.push_back(first[d] + seen[d]++ * groups / n);
  }
  Grouping grouping = Grouping::assign(group_of, std::ssize(domain_of_group));
  grouping.set_domains(std::move(domain_of_group));
  return grouping;
}

}  // namespace

void check_groups(const Config& config, const Dataset& dataset) {
  check(config.clip.group != "domain" || dataset.domains().size() > 1,
        "clip.group: \"domain\" needs data of several domains; {} has one", config.data.set.name);
}

Grouping micro_batches(const Config& config, const Batch& batch) {
  if (by_domain(config)) return domain_groups(batch.domains, config.clip.micro_batch);
  const int64_t examples = batch.size();
  // A batch of few long sequences, see train.batch_frames, may have less than a micro-batch.
  const int64_t size = config.uses_groups() ? config.clip.micro_batch : examples;
  return Grouping::runs(examples, std::min(size, examples));
}

Batch arranged(const Batch& batch, std::span<const int64_t> order) {
  check(std::ssize(order) == batch.size(), "arranged: {} places for a batch of {}", order.size(),
        batch.size());
  return {.inputs = arranged(batch.inputs, order),
          .labels = arranged(batch.labels, order),
          .ids = arranged(batch.ids, order),
          .marked = arranged(batch.marked, order),
          .domains = arranged(batch.domains, order),
          .lengths = arranged(batch.lengths, order),
          .targets = arranged(batch.targets, order),
          .target_lengths = arranged(batch.target_lengths, order),
          .texts = batch.texts.empty() ? batch.texts : arranged(batch.texts, order)};
}

std::function<void(Batch&, int64_t epoch)> batch_finisher(const Config& config, int64_t classes) {
  if (!by_domain(config)) return batch_mixer(config, classes);
  return [config](Batch& batch, int64_t /*epoch*/) {
    const Grouping groups = micro_batches(config, batch);
    if (!groups.order().empty()) batch = arranged(batch, groups.order());
  };
}

}  // namespace minnow
