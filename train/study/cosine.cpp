#include "train/study/cosine.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace minnow::study {
namespace {

/// Inner products [size, size] of gradients.
class Products {
 public:
  Products(const std::vector<double>& values, int64_t size) : values_(values), size_(size) {
    check(std::ssize(values) == size * size, "cosines: {} products of {} gradients", values.size(),
          size);
  }

  double at(int64_t i, int64_t j) const { return values_[i * size_ + j]; }
  double norm(int64_t i) const { return std::sqrt(at(i, i)); }
  double cosine(int64_t i, int64_t j) const { return at(i, j) / (norm(i) * norm(j)); }

 private:
  const std::vector<double>& values_;
  int64_t size_;
};

/// The mean of f(i, j) over pairs of different rows from two ranges; of those that are finite.
template <class F>
double mean_over(int64_t first_i, int64_t last_i, int64_t first_j, int64_t last_j, F&& f) {
  double sum = 0;
  int64_t count = 0;
  for (int64_t i = first_i; i < last_i; ++i) {
    for (int64_t j = first_j; j < last_j; ++j) {
      const double value = i == j ? std::numeric_limits<double>::quiet_NaN() : f(i, j);
      if (!std::isfinite(value)) continue;
      sum += value;
      ++count;
    }
  }
  return sum / static_cast<double>(count);
}

void add_finite(std::vector<double>& values, double value) {
  if (std::isfinite(value)) values.push_back(value);
}

/// Sums of inner products over different examples, draggers (0) and benign ones (1).
struct Sums {
  std::array<double, 2> count = {};
  std::array<double, 2> within = {};  ///< over ordered pairs of one kind
  double across = 0;                  ///< over pairs of both
  double norms = 0;                   ///< of draggers

  /// Of the expected gradient of a kind.
  double squared_norm(size_t kind) const {
    return within[kind] / (count[kind] * (count[kind] - 1));
  }
  double cosine() const {
    return across / (count[0] * count[1]) / std::sqrt(squared_norm(0) * squared_norm(1));
  }
  double norm_ratio() const { return norms / count[0] / std::sqrt(squared_norm(1)); }

  void add(const Sums& other, double factor) {
    for (size_t kind = 0; kind < 2; ++kind) {
      count[kind] += factor * other.count[kind];
      within[kind] += factor * other.within[kind];
    }
    across += factor * other.across;
    norms += factor * other.norms;
  }
};

/// What the expected gradients of n draggers and n benign examples have in common, with intervals.
class ExpectedGradients {
 public:
  ExpectedGradients(const Products& p, int64_t n) {
    std::array<std::vector<int64_t>, 2> examples;
    for (int64_t i = 0; i < 2 * n; ++i) {
      if (std::isfinite(p.norm(i))) examples[i / n].push_back(i);
    }
    for (size_t kind = 0; kind < 2; ++kind) {
      for (const int64_t i : examples[kind]) {
        Sums own{.norms = kind == 0 ? p.norm(i) : 0};
        own.count[kind] = 1;
        for (const int64_t j : examples[kind]) own.within[kind] += i == j ? 0 : 2 * p.at(i, j);
        for (const int64_t j : examples[1 - kind]) own.across += p.at(i, j);
        parts_[kind].push_back(own);
        all_.add(own, 1);
      }
    }
    for (double& sum : all_.within) sum /= 2;  // every pair is part of two examples
    all_.across /= 2;
  }

  Estimate cosine() const {
    return known(0) && known(1) ? estimate([](const Sums& sums) { return sums.cosine(); }) : none();
  }
  Estimate norm_ratio() const {
    return known(1) ? estimate([](const Sums& sums) { return sums.norm_ratio(); }) : none();
  }

 private:
  static Estimate none() {
    constexpr double nan = std::numeric_limits<double>::quiet_NaN();
    return {.value = nan, .half_width = nan};
  }

  /// Whether the squared norm of a kind's expected gradient is clearly above 0.
  bool known(size_t kind) const {
    if (std::min(parts_[0].size(), parts_[1].size()) < 3) return false;  // a pair must be left
    const Estimate squared = estimate([kind](const Sums& sums) { return sums.squared_norm(kind); });
    return squared.value > squared.half_width;
  }

  template <class F>
  Estimate estimate(F&& of) const {
    std::array<std::vector<double>, 2> without;
    for (size_t kind = 0; kind < 2; ++kind) {
      for (const Sums& part : parts_[kind]) {
        Sums rest = all_;
        rest.add(part, -1);
        without[kind].push_back(of(rest));
      }
    }
    return jackknife(of(all_), without);
  }

  Sums all_;
  std::array<std::vector<Sums>, 2> parts_;  ///< what the sums lose without an example
};

}  // namespace

Cosines cosines(const std::string& layer, const std::vector<double>& products, int64_t n) {
  check(n >= 3, "cosines: intervals need at least 3 examples of each kind; got {}", n);
  const int64_t average = 2 * n;
  const Products p(products, average + 1);
  Cosines result{.layer = layer};
  for (int64_t i = 0; i < n; ++i) {
    const int64_t benign = n + i, other = n + (i + 1) % n;
    add_finite(result.dragger_benign, p.cosine(i, benign));
    add_finite(result.benign_benign, p.cosine(benign, other));
    add_finite(result.dragger_average, p.cosine(i, average));
    add_finite(result.benign_average, p.cosine(benign, average));
  }
  const auto cosine = [&](int64_t i, int64_t j) { return p.cosine(i, j); };
  result.all_dragger_benign = mean_over(0, n, n, 2 * n, cosine);
  result.all_benign_benign = mean_over(n, 2 * n, n, 2 * n, cosine);
  result.all_dragger_dragger = mean_over(0, n, 0, n, cosine);
  const ExpectedGradients expected(p, n);
  result.expected = expected.cosine();
  result.norm_ratio = expected.norm_ratio();
  return result;
}

int orthogonal(const Cosines& whole, double near) {
  if (whole.benign_average.empty() || whole.dragger_average.empty()) return 0;
  const Summary benign = summarise(whole.benign_average);
  const Summary dragger = summarise(whole.dragger_average);
  const bool apart = benign.mean - benign.half_width > std::abs(dragger.mean) + dragger.half_width;
  if (!apart) return 0;
  const double size = std::abs(whole.expected.value), margin = whole.expected.half_width;
  return size + margin < near ? 1 : size - margin > near ? -1 : 0;
}

CosineStudy study_cosines(const std::vector<std::string>& arguments, const CosineOptions& options) {
  const int64_t n = options.examples;
  check(n >= 3, "--examples: intervals need at least 3; got {}", n);
  check(options.reference >= 1, "--reference: at least 1; got {}", options.reference);
  check(options.block == 0 || options.block >= 2, "--block: at least 2; got {}", options.block);
  const auto choose_from = [&](const Subject& subject) {
    return choose(subject.data(), {n + 1, n + options.reference}, {n, n}, subject.config().seed);
  };
  const Source source = find_source(arguments, options.points, choose_from);
  Subject subject(source.config);
  const Chosen chosen = choose_from(subject);
  std::vector<int64_t> examples = chosen.draggers;  // then n benign ones
  examples.insert(examples.end(), chosen.benign.begin(), chosen.benign.begin() + n);
  const Examples others = Examples(chosen.benign).subspan(n);

  CosineStudy study{
      .config = subject.config(),
      .reference = std::ssize(others),
      .block = options.block > 0 ? options.block : std::max<int64_t>(subject.wave(), 2)};
  for (const Moment& moment : source.moments) {
    subject.go_to(moment);
    const GradientProducts products =
        gradient_products(subject.parameters(), examples, subject.loss(), study.block,
                          {average_gradient(subject, others)});
    CosineMoment& now = study.moments.emplace_back(CosineMoment{.step = moment.step});
    now.parts.push_back(cosines("whole gradient", products.whole(), n));
    for (size_t l = 0; l < products.layers.size(); ++l) {
      now.parts.push_back(cosines(products.layers[l], products.by_layer[l], n));
    }
  }
  return study;
}

}  // namespace minnow::study
