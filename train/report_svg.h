#pragma once

#include <array>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "train/history.h"

namespace minnow {

/// For text and for attributes in double quotes.
std::string html_escape(std::string_view text);

/// At most about `most` points, in their order: of each of most / 2 runs of equal length the lowest
/// and the highest. The same points where there are no more.
std::vector<Point> thinned(const std::vector<Point>& points, size_t most = 2000);

struct Curve {
  std::string name;
  std::vector<Point> points;  ///< finite numbers
};

/// Curves over the steps of a run.
struct Plot {
  std::string title;
  std::string unit = {};  ///< of the heights; empty: none
  std::vector<Curve> curves;
  bool logarithmic = false;  ///< at first; where all heights are positive a switch shows the other
};

/// An HTML <figure>: the plot as SVG with a legend, or nothing where no curve has a point.
std::string draw(const Plot& plot);

/// Likewise, the histogram of norms of History::norms: micro-batches without a marked example, and
/// on top of them those with one.
std::string draw_norms(const std::map<int, std::array<int64_t, 2>>& norms);

}  // namespace minnow
