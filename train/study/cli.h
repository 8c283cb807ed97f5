#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace minnow::study {

/// One study on the command line: what CLI11 parses, and what then runs. `run` gets the command
/// line, as it was typed, for the report, and returns the exit status.
struct Subcommand {
  CLI::App* app;
  std::function<int(const std::string& command)> run;
};

/// The command `minnow study` with the studies below it.
class Commands {
 public:
  explicit Commands(CLI::App& app);

  /// Error that lists the studies where the first word after `minnow study` names none of them; to
  /// be called before parsing, which would take a --help that follows for that of `study`.
  void check_name(int argc, const char* const* argv) const;
  bool parsed() const;
  /// The study that was asked for.
  int run(int argc, const char* const* argv) const;

 private:
  CLI::App* study_;
  std::vector<Subcommand> subcommands_;
};

/// Adds "-o, --out DIR" for the folder of a study's results; studies/`study` if left out.
void add_folder_option(CLI::App& app, const std::string& study, std::string& folder);

/// Adds the arguments of find_source (train/study/subject.h) to a study of gradients.
void add_source_options(CLI::App& app, std::vector<std::string>& arguments, int64_t& points);

/// Each adds itself under `minnow study`; it is listed in the constructor of Commands.
Subcommand add_report(CLI::App& study);
Subcommand add_cosine(CLI::App& study);
Subcommand add_c_hat(CLI::App& study);
Subcommand add_norms(CLI::App& study);
Subcommand add_sweep(CLI::App& study);
Subcommand add_domains(CLI::App& study);
Subcommand add_theory(CLI::App& study);

}  // namespace minnow::study
