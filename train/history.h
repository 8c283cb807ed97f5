#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <unordered_map>
#include <vector>

namespace minnow {

struct Point {
  double x = 0, y = 0;
};

/// What a report shows of the records of a run, gathered one by one, so that a long run need not be
/// read again at every evaluation. Numbers that are absent, null or not finite leave a gap.
struct History {
  using Curves = std::map<std::string, std::vector<Point>>;

  /// An example that was a micro-batch of its own, when it was seen last.
  struct Seen {
    double norm = 0;
    int64_t step = 0;
    bool marked = false;
  };

  int64_t batch;        ///< examples of a step
  int64_t records = 0;  ///< that name a step and their kind
  Curves steps, evals;  ///< every number of the records by its name, over the step
  /// By norm_bucket: micro-batches without a marked example, and with one.
  std::map<int, std::array<int64_t, 2>> norms;
  std::unordered_map<int64_t, Seen> examples;  ///< by id
  nlohmann::json evaluation;                   ///< the last "eval" record

  explicit History(int64_t batch) : batch(batch) {}
  void add(const nlohmann::json& record);
  /// Adds the records of metrics.jsonl. Error where it cannot be read or has a line that is no
  /// record; a last line that is not complete is passed over.
  void add_file(const std::filesystem::path& path);

 private:
  void add_norms(const nlohmann::json& record, int64_t step);
};

}  // namespace minnow
