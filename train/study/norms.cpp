#include "train/study/norms.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "data/open.h"
#include "engine/files.h"
#include "train/metrics.h"
#include "train/report_pictures.h"
#include "train/run_folder.h"

namespace minnow::study {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

/// One micro-batch of one step.
struct Seen {
  double norm, coefficient;
  int64_t id;
  bool marked, minimum;
};

const Json& list(const Json& record, const char* name, size_t size) {
  const auto found = record.find(name);
  check(found != record.end() && found->is_array() && found->size() == size,
        "metrics: a record needs a list \"{}\" of {} numbers beside its norms", name, size);
  return *found;
}

/// Those of a record with a finite norm, the smallest first; `argmin` of it sets the minimum.
std::vector<Seen> seen_in(const Json& record) {
  const auto norms = record.find("norms");
  if (norms == record.end()) return {};
  const size_t k = norms->size();
  const Json &coefficients = list(record, "coefficients", k), &ids = list(record, "ids", k),
             &marked = list(record, "marked", k);
  const int64_t argmin = record.value("argmin", int64_t{-1});
  std::vector<Seen> all;
  for (size_t j = 0; j < k; ++j) {
    if (!(*norms)[j].is_number() || !coefficients[j].is_number()) continue;  // null: not finite
    all.push_back(
        {(*norms)[j], coefficients[j], ids[j], marked[j] != 0, static_cast<int64_t>(j) == argmin});
  }
  std::stable_sort(all.begin(), all.end(),
                   [](const Seen& a, const Seen& b) { return a.norm < b.norm; });
  return all;
}

/// What a class is called, by an example's id; reads each example once.
NormTallies::ClassOf class_names(const Config& config) {
  DatasetConfig set = config.dataset();
  set.cache_bytes = 0;
  const std::shared_ptr<const Dataset> data = open_dataset(set, Split::train);
  check(!data->transcribed(), "the examples have transcripts, no classes");
  return [data, names = std::unordered_map<int64_t, std::string>()](int64_t id) mutable {
    const auto [entry, is_new] = names.try_emplace(id);
    if (!is_new) return entry->second;
    const auto place = place_of(*data, id % (int64_t{1} << kCopyShift));
    if (place) entry->second = data->classes().at(data->get(*place, 0).label);
    return entry->second;
  };
}

}  // namespace

Tally& Tally::operator+=(const Tally& other) {
  count += other.count;
  minima += other.minima;
  norms += other.norms;
  coefficients += other.coefficients;
  plain += other.plain;
  clipped += other.clipped;
  return *this;
}

void NormTallies::add(const Json& record) {
  const std::vector<Seen> all = seen_in(record);
  if (all.empty()) return;
  double plain = 0, clipped = 0;
  for (const Seen& seen : all) {
    plain += seen.norm;
    clipped += seen.coefficient * seen.norm;
  }
  const int64_t step = record.at("step");
  Window& now = steps_.emplace_back(Window{.first = step, .last = step, .marks = {}});
  for (size_t rank = 0; rank < all.size(); ++rank) {
    const Seen& seen = all[rank];
    const Tally one{.count = 1,
                    .minima = seen.minimum ? 1 : 0,
                    .norms = seen.norm,
                    .coefficients = seen.coefficient,
                    .plain = plain > 0 ? seen.norm / plain : 0,
                    .clipped = clipped > 0 ? seen.coefficient * seen.norm / clipped : 0};
    const size_t mark = seen.marked ? 1 : 0;
    now.marks[mark] += one;
    marks_[mark] += one;
    quantiles_[rank * kQuantiles / all.size()] += one;
    if (!class_of_) continue;
    Example& example = examples_[seen.id % (int64_t{1} << kCopyShift)];
    if (example.tally.count == 0) example.name = class_of_(seen.id);
    example.tally += one;
    example.marked = seen.marked;
    classes_[example.name] += one;
  }
}

std::vector<NormTallies::Window> NormTallies::windows(int64_t count) const {
  const int64_t n = steps();
  count = std::min(count, n);
  std::vector<Window> windows;
  for (int64_t w = 0; w < count; ++w) {
    const int64_t begin = w * n / count, end = (w + 1) * n / count;
    Window& window = windows.emplace_back(steps_[begin]);
    for (int64_t i = begin + 1; i < end; ++i) {
      for (size_t mark = 0; mark < kMarks; ++mark) window.marks[mark] += steps_[i].marks[mark];
      window.last = steps_[i].last;
    }
  }
  return windows;
}

NormStudy study_norms(const std::vector<std::string>& arguments) {
  check(!arguments.empty() && fs::is_directory(arguments.front()),
        "norms: name the folder of a run first; got {}",
        arguments.empty() ? "nothing" : arguments.front());
  const fs::path run = arguments.front(), metrics = metrics_path(run);
  check(fs::exists(metrics) && fs::exists(run / "config.toml"),
        "{}: is no run folder: it needs config.toml and metrics.jsonl", run.string());
  Config config;
  apply_file(config, run / "config.toml");
  apply_overrides(config, std::span(arguments).subspan(1));
  NormTallies::ClassOf class_of;
  std::string why = "a micro-batch has more than one example";
  if (config.clip.micro_batch == 1) {
    try {
      class_of = class_names(config);
      why.clear();
    } catch (const std::exception& error) {
      why = error.what();
    }
  }
  NormStudy study{std::move(config), NormTallies(std::move(class_of)), std::move(why)};
  for_each_record(read_text_file(metrics), metrics.string(),
                  [&](std::string_view, const Json& record) { study.tallies.add(record); });
  check(study.tallies.steps() > 0,
        "{}: no record has the norms of its micro-batches; train with log.norms=true",
        metrics.string());
  return study;
}

}  // namespace minnow::study
