#pragma once

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include "train/study/plot.h"

namespace minnow::study {

using Row = std::vector<std::string>;

/// What a measurement says of a claim of the paper.
enum class Verdict { holds, fails, unclear };

/// The shortest text that gives the same number back, for tables of every digit.
std::string exact(double value);

/// The results of one study: a folder with report.html, which needs nothing else, and a .csv file
/// for every table of numbers. The page shows its parts in the order of their adding, under the
/// verdicts; it names the exact command, version, machine and the time since the construction.
class Report {
 public:
  /// `study`: "theory", "cosine", ...; `command`: the command line that asks for it. Made before
  /// the work begins, so that what would stop the report stops it at once: Error where `folder`
  /// holds something else than a result of this study, which would be replaced, or cannot be made;
  /// RunError where gnuplot is missing. Nothing is written yet.
  Report(std::string study, std::string title, std::string command, std::filesystem::path folder);

  void heading(const std::string& text);
  void paragraph(const std::string& text);
  /// Lines that keep their breaks and spaces: a formula, a derivation, a log.
  void preformatted(const std::string& text);
  /// Error where a row is not as long as the header.
  void table(const std::string& title, const Row& header, const std::vector<Row>& rows);
  void plot(const Plot& plot);
  void verdict(const std::string& claim, Verdict verdict, const std::string& why);
  /// FOLDER/`name`.csv, with a link in the page; as table() otherwise.
  void csv(const std::string& name, const Row& header, const std::vector<Row>& rows);

  /// Writes the files, in a folder that is made if need be, and removes those .csv files of an
  /// earlier result that this one lacks. RunError where that fails.
  void write() const;
  /// Likewise, and prints the verdicts and where the page is.
  void save() const;

 private:
  struct File {
    std::string name, content;
  };

  std::string page() const;

  std::string study_, title_, command_, gnuplot_;
  std::filesystem::path folder_;
  std::chrono::steady_clock::time_point start_;
  std::string verdicts_, body_, summary_;
  std::vector<File> files_;
};

/// One page with the reports of several study folders, in their order, to lie at `page`: the links
/// to their .csv files lead from there. Error where a folder holds no report of a study.
std::string bound_page(const std::vector<std::filesystem::path>& folders,
                       const std::filesystem::path& page);

}  // namespace minnow::study
