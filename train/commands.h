#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "train/decoder.h"

/// The commands of the program `minnow`. Each takes the arguments after its name, throws Error for
/// wrong ones and RunError for a run that failed, and returns the exit status.
namespace minnow {

inline constexpr int kExitInterrupted = 130;

/// The whole program: parses the command line, runs a command, and turns what it throws into one
/// message on stderr and an exit status: 0 done, 1 the run failed, 2 the input is wrong, 130
/// interrupted.
int run_program(int argc, const char* const* argv);

/// [RECIPE.toml] [key=value...]
int train_command(const std::vector<std::string>& arguments);
struct EvalOptions {
  bool json = false;            ///< print one JSON object
  bool raw = false;             ///< the weights of a checkpoint themselves, not their averages
  bool classes = false;         ///< print count and accuracy of every class, too
  std::string confusion;        ///< file for the confusion matrix, .tsv or .json; empty: none
  DecoderOptions decoder = {};  ///< of transcripts
};
/// `source`: a run folder, a checkpoint or a safetensors file.
int eval_command(const std::string& source, const std::vector<std::string>& arguments,
                 const EvalOptions& options);
struct PredictOptions {
  int64_t top = 5;    ///< classes to print for each picture
  bool json = false;  ///< print one JSON object for each picture
};
/// `source` as for eval_command; it must carry its configuration and the names of its classes. A
/// picture that cannot be read is named on stderr and makes the exit status 2; the others are done
/// all the same.
int predict_command(const std::string& source, const std::vector<std::string>& files,
                    const PredictOptions& options);
struct TranscribeOptions {
  DecoderOptions decoder;
  std::optional<double> most_seconds = {};  ///< of a sound; data.most_seconds of the model
  bool json = false;                        ///< print one JSON object for each file
};
/// What a conformer hears in sound files; `source` and files that cannot be read as for
/// predict_command.
int transcribe_command(const std::string& source, const std::vector<std::string>& files,
                       const TranscribeOptions& options);
/// Writes the report of a run folder into the file `output`; empty: report.html in the folder.
int report_command(const std::string& run_dir, const std::string& output);
/// [key=value...]
int demo_command(const std::vector<std::string>& arguments);
int info_command();

/// Name and version, as `minnow --version` prints them.
std::string version();
/// The processor, the number of threads, and the GPU where there is one.
std::string machine();

}  // namespace minnow
