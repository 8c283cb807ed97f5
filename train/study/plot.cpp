#include "train/study/plot.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <array>
#include <cmath>
#include <cstring>
#include <filesystem>

#include "engine/check.h"
#include "engine/files.h"
#include "train/report_svg.h"

extern char** environ;

namespace minnow::study {
namespace {

namespace fs = std::filesystem;

/// The light colours of report_style.h and others that differ in lightness, too. Plots lie on white
/// whatever the page is.
constexpr std::array<const char*, 8> kColors = {"#1f5fd0", "#c2410c", "#217a3c", "#8b35b0",
                                                "#0e7490", "#a16207", "#be185d", "#52525b"};

/// Gone with its content at the end of the scope.
class ScratchFolder {
 public:
  ScratchFolder() {
    std::string name = (fs::temp_directory_path() / "minnow-plot-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr)
      throw RunError(fmt::format("cannot make a folder {}: {}", name, std::strerror(errno)));
    path_ = name;
  }
  ~ScratchFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  fs::path operator/(const char* name) const { return path_ / name; }

 private:
  fs::path path_;
};

/// Which files the child process has for its standard streams.
class Streams {
 public:
  Streams() { posix_spawn_file_actions_init(&actions_); }
  ~Streams() { posix_spawn_file_actions_destroy(&actions_); }
  Streams(const Streams&) = delete;
  Streams& operator=(const Streams&) = delete;
  void open(int descriptor, const fs::path& path, int flags) {
    posix_spawn_file_actions_addopen(&actions_, descriptor, path.c_str(), flags, 0600);
  }
  const posix_spawn_file_actions_t* get() const { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_{};
};

/// What gnuplot prints for a script.
std::string run_gnuplot(const std::string& script) {
  const ScratchFolder folder;
  const fs::path in = folder / "in", out = folder / "out", err = folder / "err";
  write_file_atomically(in, script);
  Streams streams;
  streams.open(0, in, O_RDONLY);
  streams.open(1, out, O_WRONLY | O_CREAT);
  streams.open(2, err, O_WRONLY | O_CREAT);
  std::string name = "gnuplot", option = "-d";  // without the settings of ~/.gnuplot
  char* const argv[] = {name.data(), option.data(), nullptr};
  pid_t child = 0;
  const int problem = posix_spawnp(&child, "gnuplot", streams.get(), nullptr, argv, environ);
  if (problem != 0)
    throw RunError(
        fmt::format("gnuplot, which draws the plots of a study, cannot be run ({}); "
                    "install the package gnuplot-nox",
                    std::strerror(problem)));
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
    throw RunError("gnuplot failed: " + read_text_file(err));
  return read_text_file(out);
}

/// A string of gnuplot's in single quotes, where a quote alone is special.
std::string quoted(const std::string& text) {
  std::string all = "'";
  for (const char c : text) {
    if (c == '\'') all += '\'';
    all += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
  }
  return all + "'";
}

const char* how(const Series& series) {
  const bool bars = !series.error.empty();
  switch (series.style) {
    case Style::lines:
      return bars ? "yerrorlines pointsize 0" : "lines";
    case Style::points:
      return bars ? "yerrorbars pointtype 7 pointsize 0.5" : "points pointtype 7 pointsize 0.5";
    case Style::line_points:
      return bars ? "yerrorlines pointtype 7 pointsize 0.5"
                  : "linespoints pointtype 7 pointsize 0.5";
    case Style::histogram:
      return "boxes fillstyle transparent solid 0.4";
  }
  return "lines";
}

/// The points as a block that gnuplot reads; an empty line is a gap. What a logarithmic axis
/// cannot show gnuplot leaves out.
std::string data_of(const Series& series, const Plot& plot) {
  check(series.x.size() == series.y.size() &&
            (series.error.empty() || series.error.size() == series.x.size()),
        "plot {}: the series {} needs as many x as y, and as many errors or none; got {}, {}, {}",
        plot.title, series.name, series.x.size(), series.y.size(), series.error.size());
  std::string block;
  for (size_t i = 0; i < series.x.size(); ++i) {
    const double x = series.x[i], y = series.y[i];
    if (!std::isfinite(x) || !std::isfinite(y)) {
      block += "\n";
      continue;
    }
    block += fmt::format("{} {}", x, y);
    if (!series.error.empty())
      block += fmt::format(" {}", std::isfinite(series.error[i]) ? series.error[i] : 0.0);
    block += "\n";
  }
  return block;
}

bool has_point(const std::string& data) {
  return data.find_first_not_of('\n') != std::string::npos;
}

std::string script_of(const Plot& plot) {
  std::string script = fmt::format(
      "set terminal svg size 640,380 noenhanced font 'sans-serif,12'\n"
      "set encoding utf8\nset border 3\nset tics nomirror\nset grid linecolor rgb '#d5d9df'\n"
      "set key below\nset xlabel {}\nset ylabel {}\n",
      quoted(plot.x_label), quoted(plot.y_label));
  if (plot.log_x) script += "set logscale x\n";
  if (plot.log_y) script += "set logscale y\nset format y '%g'\n";
  std::string drawn, blocks;
  for (size_t i = 0; i < plot.series.size(); ++i) {
    const Series& series = plot.series[i];
    const std::string data = data_of(series, plot);
    if (!has_point(data)) continue;
    if (series.style == Style::histogram && !plot.log_y) script += "set yrange [0:*]\n";
    blocks += fmt::format("$d{} << END\n{}END\n", i, data);
    drawn += fmt::format("{}$d{} using {} with {} linecolor rgb '{}' linewidth 1.5 title {}",
                         drawn.empty() ? "plot " : ", ", i, series.error.empty() ? "1:2" : "1:2:3",
                         how(series), kColors[i % kColors.size()], quoted(series.name));
  }
  return drawn.empty() ? "" : script + blocks + drawn + "\n";
}

/// What the picture shows, for those who cannot see it.
std::string described(const Plot& plot) {
  std::string text = fmt::format("{} over {}. ", plot.y_label, plot.x_label);
  for (const Series& series : plot.series) {
    text += series.name + ":";
    const size_t step = series.x.size() / 12 + 1;
    for (size_t i = 0; i < series.x.size(); i += step)
      text += fmt::format(" {:.3g} at {:.3g};", series.y[i], series.x[i]);
    text += " ";
  }
  return text;
}

/// An <svg> element in place of gnuplot's file: without its definitions, of which the filled circle
/// alone is used, and without ids.
/// Replaces all that begins with `first` and ends with the next `last`.
void replace_all(std::string& text, std::string_view first, std::string_view last,
                 std::string_view by) {
  for (size_t at = 0; (at = text.find(first, at)) != std::string::npos; at += by.size()) {
    const size_t end = text.find(last, at + first.size());
    if (end == std::string::npos) return;
    text.replace(at, end + last.size() - at, by);
  }
}

std::string element_of(const std::string& file, const Plot& plot) {
  const size_t canvas = file.find("<g id=\"gnuplot_canvas\">"), end = file.find("</defs>");
  if (canvas == std::string::npos || end == std::string::npos)
    throw RunError("gnuplot wrote an SVG file of a kind unknown to minnow (" + gnuplot_version() +
                   ")");
  std::string body = file.substr(end + std::strlen("</defs>"));
  replace_all(body, "<g id=\"gnuplot_plot_", "</title>", "<g>");
  replace_all(body, "<use xlink:href='#gpPt6'", "",
              "<circle r='1' fill='currentColor' stroke='none'");
  return fmt::format(
      "<svg viewBox=\"0 0 640 380\" role=\"img\"><title>{}</title><desc>{}</desc>\n<g>{}",
      html_escape(plot.title), html_escape(described(plot)), body);
}

}  // namespace

std::string gnuplot_version() {
  static const std::string version = run_gnuplot(
      "set print '-'\nprint sprintf('gnuplot %.1f patchlevel %s', GPVAL_VERSION, "
      "GPVAL_PATCHLEVEL)\n");
  return version.substr(0, version.find('\n'));
}

std::string draw(const Plot& plot) {
  const std::string script = script_of(plot);
  if (script.empty()) return "<p class=\"note\">No point to draw.</p>\n";
  return element_of(run_gnuplot(script), plot);
}

}  // namespace minnow::study
