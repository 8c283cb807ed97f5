#include "train/report_tables.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "train/report_pictures.h"
#include "train/report_svg.h"

namespace minnow {
namespace {

using Json = nlohmann::json;

struct Confusion {
  std::vector<std::vector<int64_t>> counts;  // of [true class][predicted class]
  std::vector<std::string> classes;
};

/// Without rows where the record holds no matrix of counts.
Confusion read_confusion(const Json& record) {
  const auto matrix = record.find("confusion");
  if (matrix == record.end() || !matrix->is_array()) return {};
  Confusion confusion;
  for (const Json& row : *matrix) {
    if (!row.is_array() || row.size() != matrix->size()) return {};
    confusion.counts.emplace_back();
    for (const Json& count : row) {
      if (!count.is_number_integer() || count < 0) return {};
      confusion.counts.back().push_back(count);
    }
  }
  const auto classes = record.find("classes");
  const bool named =
      classes != record.end() && classes->is_array() && classes->size() == confusion.counts.size();
  for (size_t k = 0; k < confusion.counts.size(); ++k) {
    const bool text = named && (*classes)[k].is_string();
    confusion.classes.push_back(text ? (*classes)[k].get<std::string>() : std::to_string(k));
  }
  return confusion;
}

std::string heat_map(const Confusion& confusion) {
  std::string html =
      "<div class=\"scroll\"><table class=\"heat\"><thead><tr><th>true \\ predicted</th>";
  for (const std::string& name : confusion.classes)
    html += fmt::format("<th scope=\"col\"><span>{}</span></th>", html_escape(name));
  html += "</tr></thead><tbody>\n";
  for (size_t k = 0; k < confusion.counts.size(); ++k) {
    int64_t all = 0;
    for (const int64_t count : confusion.counts[k]) all += count;
    html += fmt::format("<tr><th scope=\"row\">{}</th>", html_escape(confusion.classes[k]));
    for (size_t l = 0; l < confusion.counts.size(); ++l) {
      const int64_t count = confusion.counts[k][l];
      const double share = all == 0 ? 0 : static_cast<double>(count) / static_cast<double>(all);
      // Blue where it is right, orange where it is wrong; half transparent, so that the text is
      // legible on either page.
      html += fmt::format("<td style=\"background:rgba({},{:.2f})\">{}</td>",
                          k == l ? "60,130,240" : "240,110,20", 0.6 * share,
                          count == 0 ? "" : std::to_string(count));
    }
    html += "</tr>\n";
  }
  return html + "</tbody></table></div>\n";
}

/// The errors made most often.
std::string common_errors(const Confusion& confusion) {
  struct Cell {
    int64_t count;
    size_t truth, guess;
  };
  std::vector<Cell> cells;
  for (size_t k = 0; k < confusion.counts.size(); ++k) {
    for (size_t l = 0; l < confusion.counts.size(); ++l) {
      if (k != l && confusion.counts[k][l] > 0) cells.push_back({confusion.counts[k][l], k, l});
    }
  }
  std::stable_sort(cells.begin(), cells.end(),
                   [](const Cell& a, const Cell& b) { return a.count > b.count; });
  cells.resize(std::min<size_t>(cells.size(), 10));
  if (cells.empty()) return {};
  std::string html = "<p>Most often taken for another:</p>\n<ul>\n";
  for (const auto& [count, truth, guess] : cells)
    html += fmt::format("<li>{} for {}: {}</li>\n", html_escape(confusion.classes[truth]),
                        html_escape(confusion.classes[guess]), count);
  return html + "</ul>\n";
}

using Known = std::pair<int64_t, History::Seen>;  // id

/// The example with that id; nothing where there is none, or its file cannot be read.
std::optional<Example> find_example(const Dataset* pictures, int64_t id) {
  if (pictures == nullptr) return std::nullopt;
  try {
    const auto place = place_of(*pictures, id);
    if (place) return pictures->get(*place, 0);
  } catch (const Error&) {
    // Its card goes without a picture.
  }
  return std::nullopt;
}

std::string card(const Known& known, const Dataset* pictures) {
  const auto& [id, seen] = known;
  std::string picture, label = "example";
  if (const auto example = find_example(pictures, id)) {
    label = html_escape(pictures->classes().at(static_cast<size_t>(example->label)));
    picture = fmt::format("<img src=\"data:image/bmp;base64,{}\" alt=\"Example {}, {}\">",
                          base64(bmp_thumbnail(example->input)), id, label);
  }
  return fmt::format(
      "<figure class=\"card\">{}<figcaption>{}{}<br><span class=\"note\">id {}<br>norm {:.4g}"
      "<br>step {}</span></figcaption></figure>\n",
      picture, label, seen.marked ? " <b>(marked)</b>" : "", id, seen.norm, seen.step);
}

template <class Iterator>
std::string cards(const char* title, Iterator begin, Iterator end, const Dataset* pictures) {
  std::string html = fmt::format("<h3>{}</h3>\n<div class=\"cards\">\n", title);
  for (; begin != end; ++begin) html += card(*begin, pictures);
  return html + "</div>\n";
}

}  // namespace

std::string confusion_section(const Json& record) {
  constexpr size_t most_drawn = 40;
  const Confusion confusion = read_confusion(record);
  if (confusion.counts.empty()) return {};
  return "<h2>Confusion matrix of the last evaluation</h2>\n" +
         (confusion.counts.size() <= most_drawn
              ? heat_map(confusion)
              : fmt::format("<p class=\"note\">{} classes are too many to draw.</p>\n",
                            confusion.counts.size())) +
         common_errors(confusion);
}

std::string examples_section(const History& history, const Dataset* pictures,
                             const std::string& why) {
  constexpr size_t shown = 8;
  std::vector<Known> all(history.examples.begin(), history.examples.end());
  if (all.empty()) return {};
  std::sort(all.begin(), all.end(), [](const Known& a, const Known& b) {
    return std::pair(a.second.norm, a.first) < std::pair(b.second.norm, b.first);
  });
  const auto n = static_cast<ptrdiff_t>(std::min(shown, all.size()));
  std::string html = fmt::format(
      "<h2>Examples by the norm of their gradient</h2>\n<p class=\"note\">When each of {} examples "
      "was seen last.</p>\n",
      all.size());
  if (pictures == nullptr)
    html += fmt::format("<p class=\"note\">Without pictures: {}</p>\n", html_escape(why));
  return html + cards("The largest", all.rbegin(), all.rbegin() + n, pictures) +
         cards("The smallest", all.begin(), all.begin() + n, pictures);
}

}  // namespace minnow
