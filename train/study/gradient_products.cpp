#include "train/study/gradient_products.h"

#include <algorithm>

namespace minnow::study {
namespace {

/// The layer of each parameter, -1 for a frozen one; names each layer once, in their order.
std::vector<int64_t> layers_of(const Parameters& parameters, std::vector<std::string>& layers) {
  std::vector<int64_t> places;
  for (const Parameter* p : parameters) {
    if (!p->trainable) {
      places.push_back(-1);
      continue;
    }
    const size_t dot = p->name.rfind('.');
    const std::string layer = dot == std::string::npos ? p->name : p->name.substr(0, dot);
    const auto found = std::find(layers.begin(), layers.end(), layer);
    places.push_back(found - layers.begin());
    if (found == layers.end()) layers.push_back(layer);
  }
  return places;
}

/// Half blocks, any two of which may pass through the model together; one where all examples may.
std::vector<std::vector<int64_t>> half_blocks(int64_t n, int64_t block) {
  const int64_t half = n <= block ? std::max<int64_t>(n, 1) : block / 2;
  std::vector<std::vector<int64_t>> blocks;
  for (int64_t i = 0; i < n; ++i) {
    if (i % half == 0) blocks.emplace_back();
    blocks.back().push_back(i);
  }
  return blocks;
}

}  // namespace

std::vector<double> GradientProducts::whole() const {
  std::vector<double> sum(static_cast<size_t>(size * size), 0.0);
  for (const auto& layer : by_layer) {
    for (size_t e = 0; e < sum.size(); ++e) sum[e] += layer[e];
  }
  return sum;
}

GradientProducts gradient_products(const Parameters& parameters, Examples examples,
                                   const LossOf& loss, int64_t block,
                                   const std::vector<std::vector<Tensor>>& others) {
  check(block >= 2, "block: at least 2 examples pass through the model together; got {}", block);
  const int64_t k = std::ssize(examples);
  GradientProducts products;
  const int64_t n = products.size = k + std::ssize(others);
  const std::vector<int64_t> places = layers_of(parameters, products.layers);
  products.by_layer.resize(products.layers.size());

  // Adds one pass; rows[i] is where row i of its products belongs. What several passes see, such as
  // the products within a half block, is added once: by the first pass.
  std::vector<bool> known(static_cast<size_t>(n * n), false);
  const auto run = [&](std::vector<int64_t> rows) {
    std::vector<int64_t> chosen;
    chosen.reserve(rows.size());
    for (int64_t row : rows) chosen.push_back(examples[row]);
    const auto grams =
        parameter_grams(parameters, Grouping::runs(std::ssize(rows), 1), loss(chosen), others);
    for (int64_t i = k; i < n; ++i) rows.push_back(i);
    const int64_t m = std::ssize(rows);
    for (size_t l = 0; l < grams.size(); ++l) {
      if (places[l] < 0) continue;
      auto& layer = products.by_layer[places[l]];
      layer.resize(static_cast<size_t>(n * n), 0.0);
      const std::vector<double> part = grams[l].to_vector<double>();
      for (int64_t e = 0; e < m * m; ++e) {
        const int64_t to = rows[e / m] * n + rows[e % m];
        if (!known[to]) layer[to] += part[e];
      }
    }
    for (int64_t e = 0; e < m * m; ++e) known[rows[e / m] * n + rows[e % m]] = true;
  };

  const auto halves = half_blocks(k, block);
  if (halves.size() == 1) run(halves[0]);
  for (size_t i = 0; i < halves.size(); ++i) {
    for (size_t j = i + 1; j < halves.size(); ++j) {
      std::vector<int64_t> rows = halves[i];
      rows.insert(rows.end(), halves[j].begin(), halves[j].end());
      run(std::move(rows));
    }
  }
  return products;
}

}  // namespace minnow::study
