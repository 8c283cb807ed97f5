#include "train/report_svg.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "train/norm_buckets.h"

namespace minnow {
namespace {

constexpr double kWidth = 640, kHeight = 250;
constexpr double kLeft = 62, kRight = 606, kTop = 10, kBottom = 214;  // of the area of the curves

struct Range {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();

  void include(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
};

/// From numbers to places between two ends.
class Axis {
 public:
  Axis(Range range, bool logarithmic, double from, double to)
      : low_(range.low), high_(range.high), log_(logarithmic), from_(from), to_(to) {
    if (low_ < high_) return;
    const double margin = low_ == 0 ? 1 : std::abs(low_) / 2;
    low_ -= margin;
    high_ += margin;
  }

  double place(double value) const {
    const double share =
        log_ ? std::log(value / low_) / std::log(high_ / low_) : (value - low_) / (high_ - low_);
    return from_ + share * (to_ - from_);
  }

  /// Round numbers within the axis.
  std::vector<double> ticks() const {
    const double decades = log_ ? std::log10(high_ / low_) : 0;
    return decades >= 1 ? powers(decades) : multiples();
  }

 private:
  std::vector<double> multiples() const {
    const double rough = (high_ - low_) / 5, power = std::pow(10, std::floor(std::log10(rough)));
    double step = 10 * power;
    for (const double factor : {5, 2, 1}) {
      if (factor * power >= rough) step = factor * power;
    }
    std::vector<double> all;
    for (double k = std::ceil(low_ / step); k * step <= high_ && all.size() < 20; ++k)
      all.push_back(k * step + 0.0);  // not -0
    return all;
  }

  /// 1, 2 and 5 times powers of ten; fewer where that is too many.
  std::vector<double> powers(double decades) const {
    const int every = static_cast<int>(std::ceil(decades / 8));
    std::vector<double> all;
    for (int p = static_cast<int>(std::floor(std::log10(low_))); std::pow(10, p) <= high_; ++p) {
      if (p % every != 0) continue;
      for (const double factor : {1, 2, 5}) {
        if (factor > 1 && decades > 3) break;
        const double value = factor * std::pow(10, p);
        if (value >= low_ && value <= high_) all.push_back(value);
      }
    }
    return all;
  }

  double low_, high_;
  bool log_;
  double from_, to_;
};

/// Grid, ticks and the name of the horizontal axis.
std::string frame(const Axis& x, const Axis& y, std::string_view name) {
  std::string svg;
  for (const double tick : y.ticks()) {
    const double at = y.place(tick);
    svg += fmt::format(
        "<path class=\"grid\" d=\"M{:.0f} {:.1f}H{:.0f}\"/>"
        "<text class=\"end\" x=\"{:.0f}\" y=\"{:.1f}\">{:.6g}</text>\n",
        kLeft, at, kRight, kLeft - 6, at + 4, tick);
  }
  for (const double tick : x.ticks()) {
    const double at = x.place(tick);
    svg += fmt::format(
        "<path class=\"grid\" d=\"M{:.1f} {:.0f}v4\"/>"
        "<text class=\"mid\" x=\"{:.1f}\" y=\"{:.0f}\">{:.6g}</text>\n",
        at, kBottom, at, kBottom + 17, tick);
  }
  return svg + fmt::format("<text class=\"mid\" x=\"{:.0f}\" y=\"{:.0f}\">{}</text>\n",
                           (kLeft + kRight) / 2, kHeight - 4, name);
}

std::string in_svg(std::string_view title, std::string_view description, std::string_view body) {
  return fmt::format(
      "<svg viewBox=\"0 0 {:.0f} {:.0f}\" "
      "role=\"img\"><title>{}</title><desc>{}</desc>\n{}</svg>\n",
      kWidth, kHeight, html_escape(title), html_escape(description), body);
}

/// A curve; `thin`, where there are many points, so that what is drawn later shows through.
std::string path_of(const std::vector<Point>& points, const Axis& x, const Axis& y, size_t color,
                    bool thin) {
  std::string path, dots;
  for (const Point& point : points) {
    const double px = x.place(point.x), py = y.place(point.y);
    path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? 'M' : 'L', px, py);
    if (points.size() <= 60)
      dots += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"2.5\"/>", px, py);
  }
  return fmt::format("<g class=\"c{}\"><path class=\"curve{}\" d=\"{}\"/>{}</g>\n", color,
                     thin && points.size() > 250 ? " dense" : "", path, dots);
}

/// What the picture shows, for those who cannot see it.
std::string described(const std::vector<Curve>& curves) {
  std::string text;
  for (const auto& [name, points] : curves) {
    if (points.empty()) continue;
    const auto [low, high] = std::minmax_element(
        points.begin(), points.end(), [](const Point& a, const Point& b) { return a.y < b.y; });
    text += fmt::format(
        "{}: {:.4g} at step {}, {:.4g} at step {}; lowest {:.4g} at step {}, highest {:.4g} at "
        "step {}. ",
        name, points.front().y, points.front().x, points.back().y, points.back().x, low->y, low->x,
        high->y, high->x);
  }
  return text;
}

std::string svg_of(const Plot& plot, Range steps, Range heights, bool logarithmic) {
  const Axis x(steps, false, kLeft, kRight), y(heights, logarithmic, kBottom, kTop);
  std::string body = frame(x, y, "step");
  for (size_t i = 0; i < plot.curves.size(); ++i)
    body += path_of(thinned(plot.curves[i].points), x, y, i, plot.curves.size() > 1);
  return in_svg(plot.title, described(plot.curves), body);
}

std::string legend(const std::vector<std::string>& names) {
  std::string html = "<p class=\"legend\">";
  for (size_t i = 0; i < names.size(); ++i)
    html += fmt::format("<span class=\"c{}\">&#9632;</span> {} ", i, html_escape(names[i]));
  return html + "</p>\n";
}

std::string figure(std::string_view title, std::string_view body) {
  return fmt::format("<figure><figcaption>{}</figcaption>\n{}</figure>\n", html_escape(title),
                     body);
}

}  // namespace

std::string html_escape(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      case '\'':
        escaped += "&#39;";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

std::vector<Point> thinned(const std::vector<Point>& points, size_t most) {
  if (points.size() <= most) return points;
  const size_t runs = most / 2;
  std::vector<Point> kept;
  for (size_t r = 0; r < runs; ++r) {
    const auto begin = points.begin() + static_cast<ptrdiff_t>(r * points.size() / runs),
               end = points.begin() + static_cast<ptrdiff_t>((r + 1) * points.size() / runs);
    const auto [low, high] =
        std::minmax_element(begin, end, [](const Point& a, const Point& b) { return a.y < b.y; });
    kept.push_back(*std::min(low, high));
    if (low->y != high->y) kept.push_back(*std::max(low, high));
  }
  return kept;
}

std::string draw(const Plot& plot) {
  Range steps, heights;
  std::vector<std::string> names;
  for (const Curve& curve : plot.curves) {
    names.push_back(curve.name);
    for (const Point& point : curve.points) {
      steps.include(point.x);
      heights.include(point.y);
    }
  }
  if (steps.low > steps.high) return {};
  const std::string title =
      plot.unit.empty() ? plot.title : fmt::format("{} ({})", plot.title, plot.unit);
  const std::string linear = svg_of(plot, steps, heights, false);
  // Logarithms tell nothing of what hardly changes.
  if (heights.low <= 0 || heights.high < 2 * heights.low)
    return figure(title, linear + legend(names));
  return figure(title, fmt::format("<label><input type=\"checkbox\"{}> logarithmic</label>\n"
                                   "<div class=\"linear\">{}</div><div class=\"log\">{}</div>\n{}",
                                   plot.logarithmic ? " checked" : "", linear,
                                   svg_of(plot, steps, heights, true), legend(names)));
}

std::string draw_norms(const std::map<int, std::array<int64_t, 2>>& norms) {
  if (norms.empty()) return {};
  int64_t highest = 0, all = 0, marked = 0;
  for (const auto& [bucket, counts] : norms) {
    highest = std::max(highest, counts[0] + counts[1]);
    all += counts[0] + counts[1];
    marked += counts[1];
  }
  const int first = norms.begin()->first, last = norms.rbegin()->first;
  const Axis x({norm_bucket_end(first - 1), norm_bucket_end(last)}, true, kLeft, kRight);
  const Axis y({0, static_cast<double>(highest)}, false, kBottom, kTop);
  std::string body = frame(x, y, "norm of the gradient");
  for (const auto& [bucket, counts] : norms) {
    const double left = x.place(norm_bucket_end(bucket - 1)),
                 right = x.place(norm_bucket_end(bucket));
    double bottom = kBottom;
    for (const size_t part : {0, 1}) {
      if (counts[part] == 0) continue;
      const double height = kBottom - y.place(static_cast<double>(counts[part]));
      bottom -= height;
      body += fmt::format(
          "<rect class=\"c{}\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\"/>\n",
          part, left, bottom, right - left, height);
    }
  }
  const std::string description =
      fmt::format("{} micro-batches with norms from {:.4g} to {:.4g}; {} hold a marked example.",
                  all, norm_bucket_end(first - 1), norm_bucket_end(last), marked);
  std::vector<std::string> names{"micro-batches"};
  if (marked > 0) names = {"without a marked example", "with one"};
  return figure("Norms of all micro-batches recorded",
                in_svg("Histogram of norms", description, body) + legend(names));
}

}  // namespace minnow
