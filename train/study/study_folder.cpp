#include "train/study/study_folder.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string_view>
#include <system_error>

#include "engine/check.h"
#include "engine/files.h"
#include "train/commands.h"
#include "train/report_style.h"
#include "train/report_svg.h"

namespace minnow::study {
namespace {

namespace fs = std::filesystem;

/// What a study's page has beside that of a run. Plots lie on white.
constexpr const char* kStudyStyle = R"(
.gnuplot svg { background: #fff; fill: none; max-width: 900px; border-radius: 4px; }
.gnuplot svg text { fill: #1b1e23; } .gnuplot svg rect { fill: inherit; }
.numbers th { color: var(--dim); border-bottom: 1px solid var(--line); }
.numbers :first-child { text-align: left; } caption { text-align: left; font-weight: 600; }
.verdict { border-left: 4px solid var(--line); padding-left: 0.8rem; margin: 0.6rem 0; }
.holds { border-color: var(--c2); } .fails { border-color: var(--c1); }
.scroll, .gnuplot { margin: 1rem 0; } main { margin-bottom: 3rem; } p { max-width: 60rem; }
)";

std::string page_of(const std::string& title, const std::string& body) {
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<title>{} - minnow</title>\n<style>{}{}</style></head><body>\n{}</body></html>\n",
      html_escape(title), kReportStyle, kStudyStyle, body);
}

/// The opening tag by which a page is known to be that of a study.
std::string main_tag(const std::string& study) {
  return fmt::format("<main data-study=\"{}\">", html_escape(study));
}

const char* word(Verdict verdict) {
  switch (verdict) {
    case Verdict::holds:
      return "holds";
    case Verdict::fails:
      return "fails";
    case Verdict::unclear:
      return "unclear";
  }
  return "";
}

void check_rows(const std::string& where, const Row& header, const std::vector<Row>& rows) {
  for (const Row& row : rows)
    check(row.size() == header.size(), "{}: every row needs {} columns; got {}", where,
          header.size(), row.size());
}

std::string cells(const Row& row, const char* tag) {
  std::string html = "<tr>";
  for (const std::string& cell : row) html += fmt::format("<{0}>{1}</{0}>", tag, html_escape(cell));
  return html + "</tr>\n";
}

/// A line of a .csv file as RFC 4180 has it.
std::string csv_line(const Row& row) {
  std::string line;
  for (const std::string& cell : row) {
    if (!line.empty() || &cell != row.data()) line += ',';
    if (cell.find_first_of(",\"\n\r") == std::string::npos) {
      line += cell;
      continue;
    }
    line += '"';
    for (const char c : cell) line += c == '"' ? std::string("\"\"") : std::string(1, c);
    line += '"';
  }
  return line + "\n";
}

/// What links to a .csv file lie between, in a page.
constexpr std::string_view kLink = "<a href=\"", kLinkEnd = ".csv\">";

/// The .csv files that a page links to.
std::vector<std::string> linked_files(const std::string& page) {
  std::vector<std::string> names;
  for (size_t at = page.find(kLink); at != std::string::npos; at = page.find(kLink, at)) {
    at += kLink.size();
    const size_t end = page.find(kLinkEnd, at);
    if (end == std::string::npos) break;
    const std::string name = page.substr(at, end - at) + ".csv";
    if (name.find('/') == std::string::npos) names.push_back(name);
  }
  return names;
}

/// Error where no folder can be made at `folder`, or nothing in the one that is there.
void check_writable(const fs::path& folder) {
  std::error_code error;
  fs::path there = fs::absolute(folder);
  while (!fs::exists(there, error) && there.has_relative_path()) there = there.parent_path();
  check(fs::is_directory(there, error), "--out: {} cannot be a folder: {} is a file",
        folder.string(), there.string());
  check(access(there.c_str(), W_OK | X_OK) == 0, "--out: {} cannot be written: {}: {}",
        folder.string(), there.string(), std::strerror(errno));
}

fs::path page_path(const fs::path& folder) {
  return folder / "report.html";
}

}  // namespace

std::string exact(double value) {
  return fmt::format("{}", value);
}

Report::Report(std::string study, std::string title, std::string command, fs::path folder)
    : study_(std::move(study)),
      title_(std::move(title)),
      command_(std::move(command)),
      gnuplot_(gnuplot_version()),
      folder_(std::move(folder)),
      start_(std::chrono::steady_clock::now()) {
  check_writable(folder_);
  if (!fs::exists(folder_) || fs::is_empty(folder_)) return;
  const fs::path page = page_path(folder_);
  check(fs::exists(page) && read_text_file(page).find(main_tag(study_)) != std::string::npos,
        "--out: {} must be empty, new, or hold an earlier result of this study ({}), which is then "
        "replaced; it holds something else",
        folder_.string(), study_);
}

void Report::heading(const std::string& text) {
  body_ += fmt::format("<h2>{}</h2>\n", html_escape(text));
}

void Report::paragraph(const std::string& text) {
  body_ += fmt::format("<p>{}</p>\n", html_escape(text));
}

void Report::preformatted(const std::string& text) {
  body_ += fmt::format("<pre>{}</pre>\n", html_escape(text));
}

void Report::table(const std::string& title, const Row& header, const std::vector<Row>& rows) {
  check_rows(title, header, rows);
  body_ += fmt::format("<div class=\"scroll\"><table class=\"numbers\"><caption>{}</caption>\n",
                       html_escape(title));
  body_ += "<thead>" + cells(header, "th") + "</thead><tbody>\n";
  for (const Row& row : rows) body_ += cells(row, "td");
  body_ += "</tbody></table></div>\n";
}

void Report::plot(const Plot& plot) {
  body_ += fmt::format("<figure class=\"gnuplot\"><figcaption>{}</figcaption>\n{}</figure>\n",
                       html_escape(plot.title), draw(plot));
}

void Report::verdict(const std::string& claim, Verdict verdict, const std::string& why) {
  verdicts_ += fmt::format("<div class=\"verdict {0}\"><strong>{0}</strong>: {1}<br>{2}</div>\n",
                           word(verdict), html_escape(claim), html_escape(why));
  summary_ += fmt::format("{:<8} {}\n", word(verdict), claim);
}

void Report::csv(const std::string& name, const Row& header, const std::vector<Row>& rows) {
  check_rows(name + ".csv", header, rows);
  std::string content = csv_line(header);
  for (const Row& row : rows) content += csv_line(row);
  files_.push_back({name + ".csv", content});
  body_ += fmt::format("<p class=\"note\">All numbers: <a href=\"{0}.csv\">{0}.csv</a></p>\n",
                       html_escape(name));
}

std::string Report::page() const {
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  const auto fact = [](const char* name, const std::string& value) {
    return fmt::format("<tr><th scope=\"row\">{}</th><td>{}</td></tr>\n", name, html_escape(value));
  };
  return page_of(
      title_, main_tag(study_) + fmt::format("\n<h1>{}</h1>\n{}", html_escape(title_), verdicts_) +
                  "<table class=\"facts\">\n" + fact("Command", command_) +
                  fact("Program", fmt::format("{}, {}", version(), gnuplot_)) +
                  fact("Machine", machine()) + fact("Time", fmt::format("{:.1f} s", seconds)) +
                  "</table>\n" + body_ + "</main>\n");
}

void Report::write() const {
  std::error_code error;
  fs::create_directories(folder_, error);
  if (error) throw RunError(fmt::format("{}: {}", folder_.string(), error.message()));
  const fs::path page_file = page_path(folder_);
  std::vector<std::string> old;
  if (fs::exists(page_file)) old = linked_files(read_text_file(page_file));
  for (const auto& [name, content] : files_) write_file_atomically(folder_ / name, content);
  write_file_atomically(page_file, page());
  for (const std::string& name : old) {
    const bool kept = std::any_of(files_.begin(), files_.end(),
                                  [&](const File& file) { return file.name == name; });
    if (!kept) fs::remove(folder_ / name, error);  // if it cannot be, no page links to it
  }
}

void Report::save() const {
  write();
  fmt::print("{}report: {}\n", summary_, page_path(folder_).string());
}

std::string bound_page(const std::vector<fs::path>& folders, const fs::path& page) {
  const fs::path from = fs::absolute(page).parent_path();
  std::string body;
  for (const fs::path& folder : folders) {
    const std::string html = read_text_file(page_path(folder));
    const std::string end = "</main>\n";
    const size_t first = html.find("<main data-study="), last = html.rfind(end);
    check(first != std::string::npos && last != std::string::npos,
          "{}: a report of minnow study is wanted; this is none", page_path(folder).string());
    std::string part = html.substr(first, last + end.size() - first);
    const std::string to =
        html_escape(fs::relative(fs::absolute(folder), from).generic_string()) + "/";
    for (size_t at = part.find(kLink); at != std::string::npos; at = part.find(kLink, at)) {
      at += kLink.size();
      part.insert(at, to);
    }
    body += part;
  }
  return page_of("Studies", body);
}

}  // namespace minnow::study
