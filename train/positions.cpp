#include "train/positions.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace minnow {
namespace {

double cubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return ((x - 5) * x + 8) * x * a - 4 * a;
  return 0;
}

/// weights [out, in]: what each place of the new line takes of those of the old one. What lies
/// beyond the ends is left out, and the weights that are left add up to 1.
std::vector<double> line_weights(int64_t in, int64_t out) {
  std::vector<double> weights(static_cast<size_t>(out * in), 0.0);
  const double scale = static_cast<double>(in) / static_cast<double>(out);
  const double widened = std::max(scale, 1.0), reach = 2 * widened;
  for (int64_t i = 0; i < out; ++i) {
    double* row = weights.data() + i * in;
    const double center = scale * (static_cast<double>(i) + 0.5);
    const auto first = std::max<int64_t>(static_cast<int64_t>(std::floor(center - reach + 0.5)), 0);
    const auto last = std::min<int64_t>(static_cast<int64_t>(std::floor(center + reach + 0.5)), in);
    double sum = 0;
    for (int64_t j = first; j < last; ++j)
      sum += row[j] = cubic((static_cast<double>(j) - center + 0.5) / widened);
    for (int64_t j = first; j < last; ++j) row[j] /= sum;
  }
  return weights;
}

/// y [before, out, after] = the line weights times x [before, in, after].
std::vector<double> resample(const std::vector<double>& x, int64_t before, int64_t in, int64_t out,
                             int64_t after) {
  const std::vector<double> weights = line_weights(in, out);
  std::vector<double> y(static_cast<size_t>(before * out * after), 0.0);
  for (int64_t b = 0; b < before; ++b) {
    for (int64_t i = 0; i < out; ++i) {
      double* to = y.data() + (b * out + i) * after;
      for (int64_t j = 0; j < in; ++j) {
        const double w = weights[i * in + j];
        const double* from = x.data() + (b * in + j) * after;
        for (int64_t k = 0; k < after; ++k) to[k] += w * from[k];
      }
    }
  }
  return y;
}

}  // namespace

int64_t position_grid(const Shape& shape) {
  if (shape.size() != 3 || shape[0] != 1 || shape[1] < 2) return 0;
  const auto side = static_cast<int64_t>(std::lround(std::sqrt(static_cast<double>(shape[1] - 1))));
  return side * side == shape[1] - 1 ? side : 0;
}

Tensor resize_positions(const Tensor& positions, int64_t side) {
  const int64_t grid = position_grid(positions.shape());
  check(grid > 0 && side > 0,
        "positions: expected a class token and a square grid, [1, 1 + g g, D]; got {} for {} x {}",
        to_string(positions.shape()), side, side);
  const int64_t dim = positions.dim(2);
  const auto all = positions.to(DType::float64).to_vector<double>();
  const std::vector<double> patches(all.begin() + dim, all.end());  // [g, g, D]
  const auto rows = resample(patches, 1, grid, side, grid * dim);   // [side, g, D]
  const auto places = resample(rows, side, grid, side, dim);        // [side, side, D]
  std::vector<double> result(all.begin(), all.begin() + dim);
  result.insert(result.end(), places.begin(), places.end());
  return Tensor::from(result, {1, 1 + side * side, dim}).to(DType::float32);
}

}  // namespace minnow
