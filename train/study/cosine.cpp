#include "train/study/cosine.h"

#include <algorithm>
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

}  // namespace

Cosines cosines(const std::string& layer, const std::vector<double>& products, int64_t n) {
  check(n >= 2, "cosines: pairs need at least 2 examples of each kind; got {}", n);
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

  const auto product = [&](int64_t i, int64_t j) { return p.at(i, j); };
  const double mu = std::sqrt(mean_over(0, n, 0, n, product));         // not a number where
  const double g = std::sqrt(mean_over(n, 2 * n, n, 2 * n, product));  // the mean is negative
  result.expected = mean_over(0, n, n, 2 * n, product) / (mu * g);
  double norms = 0;
  for (int64_t i = 0; i < n; ++i) norms += p.norm(i) / static_cast<double>(n);
  result.norm_ratio = norms / g;
  return result;
}

CosineStudy study_cosines(const std::vector<std::string>& arguments, const CosineOptions& options) {
  const int64_t n = options.examples;
  check(n >= 2, "--examples: pairs need at least 2; got {}", n);
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
