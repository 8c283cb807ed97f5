#include <cstdio>
#include <nlohmann/json.hpp>

#include "data/audio.h"
#include "data/speech.h"
#include "train/commands.h"
#include "train/run_folder.h"
#include "train/trained_model.h"

namespace minnow {
namespace {

// A frame that the subsampling leaves takes seven: 25 ms and six times 10 ms.
constexpr double kLeastSeconds = 0.1;

TrainedModel load_recogniser(const std::string& weights) {
  TrainedModel trained = load_trained_model(weights);
  check(trained.config.model.name == "conformer", "{}: its model, a {}, does not transcribe; {}",
        weights, trained.config.model.name, usual_command(trained.config));
  check_options(trained.config.dataset().speech);
  return trained;
}

/// What the model hears in a file.
std::string transcribe(const TrainedModel& trained, const Decoder& decoder, const std::string& file,
                       std::optional<double> most_seconds) {
  SpeechOptions options = trained.config.dataset().speech;
  if (most_seconds) options.most_seconds = *most_seconds;
  const AudioInfo info = audio_info(file);
  const double seconds = static_cast<double>(info.frames) / static_cast<double>(info.rate);
  check(seconds >= kLeastSeconds, "{}: a sound of {:.3f} seconds is too short; {} are needed", file,
        seconds, kLeastSeconds);
  check(seconds <= options.most_seconds,
        "{}: a sound of {:.1f} seconds is too long; up to {} are heard, or --most-seconds", file,
        seconds, options.most_seconds);
  const Audio audio = resample(read_audio(file, options.most_seconds), options.rate);
  return transcript(trained, decoder, speech_features(audio, options));
}

void print_text(const std::string& file, const std::string& text, bool json) {
  if (!json) {
    fmt::print("{}: {}\n", file, text);
    return;
  }
  const nlohmann::json record{{"file", file}, {"text", text}};
  fmt::print("{}\n", record.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

}  // namespace

int transcribe_command(const std::string& source, const std::vector<std::string>& files,
                       const TranscribeOptions& options) {
  const TrainedModel trained = load_recogniser(find_weights(source).string());
  const Decoder decoder(options.decoder, trained.notes.classes);
  int status = 0;
  for (const std::string& file : files) {
    try {
      print_text(file, transcribe(trained, decoder, file, options.most_seconds), options.json);
    } catch (const Error& error) {
      const std::string why = error.what();  // of features it names no file
      const bool named = why.find(file) != std::string::npos;
      std::fputs(fmt::format("minnow: {}{}\n", named ? "" : file + ": ", why).c_str(), stderr);
      status = 2;
    }
  }
  return status;
}

}  // namespace minnow
