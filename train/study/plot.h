#pragma once

#include <string>
#include <vector>

namespace minnow::study {

enum class Style {
  lines,
  points,
  line_points,
  histogram,  ///< a bar around every x as wide as the gap to its neighbours, from 0 to y
};

/// Points that share a colour and a line of the legend. Those that are not finite, or not positive
/// on a logarithmic axis, leave a gap.
struct Series {
  std::string name = {};
  std::vector<double> x = {}, y = {};
  std::vector<double> error = {};  ///< half the height of the error bars; empty: none
  Style style = Style::line_points;
};

struct Plot {
  std::string title = {}, x_label = {}, y_label = {};
  bool log_x = false, log_y = false;
  std::vector<Series> series = {};
};

/// "gnuplot 5.4 patchlevel 4". RunError where it cannot be run, with the package to install.
std::string gnuplot_version();

/// The plot as an <svg> element for a page, drawn by gnuplot; without ids, so that a page may hold
/// any number. Error where x, y and error differ in length; RunError where gnuplot fails.
std::string draw(const Plot& plot);

}  // namespace minnow::study
