#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "train/config.h"

namespace minnow::study {

/// Sums over micro-batches that have something in common.
struct Tally {
  int64_t count = 0;
  int64_t minima = 0;             ///< how often it was one of them that set the minimum
  double norms = 0;               ///< sum of n_j
  double coefficients = 0;        ///< sum of c_j
  double plain = 0, clipped = 0;  ///< sums of n_j / sum n and of c_j n_j / sum c n in each step

  Tally& operator+=(const Tally& other);
};

/// The norms and coefficients of a run's micro-batches, taken from its records one by one. Those
/// without a finite norm are left out.
class NormTallies {
 public:
  /// What an example is called by, from its id, to be tallied by; empty: by nothing.
  using ClassOf = std::function<std::string(int64_t id)>;
  static constexpr size_t kQuantiles = 10;
  static constexpr size_t kMarks = 2;  ///< without, and with a planted dragger
  using ByMark = std::array<Tally, kMarks>;

  /// With `class_of`, which needs micro-batches of one example, also by class and example.
  explicit NormTallies(ClassOf class_of) : class_of_(std::move(class_of)) {}

  /// A record of metrics.jsonl; one without norms is passed over.
  void add(const nlohmann::json& record);

  int64_t steps() const { return std::ssize(steps_); }  ///< that had norms
  const ByMark& marks() const { return marks_; }
  /// By rank in their step, the smallest norms first.
  const std::array<Tally, kQuantiles>& quantiles() const { return quantiles_; }
  const std::map<std::string, Tally>& classes() const { return classes_; }
  struct Example {
    Tally tally;
    bool marked = false;
    std::string name;  ///< of its class
  };
  const std::map<int64_t, Example>& examples() const { return examples_; }
  struct Window {
    int64_t first = 0, last = 0;  ///< steps
    ByMark marks;
  };
  /// The steps in `count` runs of about equally many.
  std::vector<Window> windows(int64_t count) const;

 private:
  ClassOf class_of_;
  ByMark marks_;
  std::array<Tally, kQuantiles> quantiles_;
  std::map<std::string, Tally> classes_;
  std::map<int64_t, Example> examples_;
  std::vector<Window> steps_;
};

struct NormStudy {
  Config config;
  NormTallies tallies;
  std::string why_no_classes;  ///< empty where there are some
};

/// Of a run folder; key=value settings say, for one, where the data lie now. Error where the run
/// has not recorded norms.
NormStudy study_norms(const std::vector<std::string>& arguments);

}  // namespace minnow::study
