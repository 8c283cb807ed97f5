#include "train/history.h"

#include <cmath>

#include "data/dataset.h"
#include "engine/files.h"
#include "train/metrics.h"
#include "train/norm_buckets.h"

namespace minnow {
namespace {

using Json = nlohmann::json;

bool is_finite(const Json& value) {
  return value.is_number() && std::isfinite(value.get<double>());
}

/// The list `name` of a record where it has `size` numbers; otherwise an empty one.
std::vector<int64_t> integers(const Json& record, const char* name, size_t size) {
  const auto found = record.find(name);
  if (found == record.end() || !found->is_array() || found->size() != size) return {};
  std::vector<int64_t> numbers;
  for (const Json& element : *found) {
    if (!element.is_number_integer()) return {};
    numbers.push_back(element);
  }
  return numbers;
}

}  // namespace

void History::add(const Json& record) {
  const auto kind = record.find("kind"), step = record.find("step");
  if (kind == record.end() || step == record.end() || !step->is_number_integer()) return;
  const bool is_step = *kind == "step";
  if (!is_step && *kind != "eval") return;
  ++records;
  for (const auto& [name, value] : record.items()) {
    if (name == "step" || name == "epoch" || name == "argmin") continue;  // nobody draws them
    if (is_finite(value)) (is_step ? steps : evals)[name].push_back({*step, value});
  }
  if (is_step) {
    add_norms(record, *step);
  } else {
    evaluation = record;
  }
}

void History::add_norms(const Json& record, int64_t step) {
  const auto values = record.find("norms");
  if (values == record.end() || !values->is_array()) return;
  const size_t K = values->size();
  const std::vector<int64_t> marked = integers(record, "marked", K);
  std::vector<int64_t> ids;
  if (static_cast<int64_t>(K) == batch) ids = integers(record, "ids", K);
  for (size_t j = 0; j < K; ++j) {
    const Json& value = (*values)[j];
    if (!is_finite(value) || value < 0) continue;
    const bool is_marked = !marked.empty() && marked[j] != 0;
    ++norms[norm_bucket(value)][is_marked ? 1 : 0];
    if (!ids.empty()) examples[ids[j] % (int64_t{1} << kCopyShift)] = {value, step, is_marked};
  }
}

void History::add_file(const std::filesystem::path& path) {
  for_each_record(read_text_file(path), path.string(),
                  [this](std::string_view, const Json& record) { add(record); });
}

}  // namespace minnow
