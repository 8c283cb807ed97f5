#include "data/speech.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

#include "data/parallel.h"
#include "data/transcript_pieces.h"
#include "kernels/random.h"

namespace minnow {
namespace {

LogMelOptions log_mel_options(const SpeechOptions& options) {
  LogMelOptions features{
      .rate = options.rate, .bins = options.bins, .preemphasis = options.preemphasis};
  const double window = features.window * static_cast<double>(options.rate);  // samples
  const auto points = std::bit_ceil(static_cast<uint64_t>(std::ceil(window)));
  features.fft = std::max(features.fft, static_cast<int64_t>(points));
  return features;
}

uint64_t key_of(int64_t number) {
  return static_cast<uint64_t>(number);
}

/// That of the transcripts.
std::unique_ptr<Vocabulary> vocabulary_of(const std::vector<Recording>& recordings,
                                          const SpeechOptions& options) {
  std::vector<std::string> texts(recordings.size());
  std::transform(recordings.begin(), recordings.end(), texts.begin(),
                 [](const Recording& recording) { return recording.text; });
  if (options.tokens == "characters") return std::make_unique<Characters>(texts);
  return std::make_unique<TranscriptPieces>(texts, options.pieces);
}

void check_normalisation(const SpeechOptions& options) {
  if (options.normalise != "global") {
    check(options.normalise == "utterance" || options.normalise == "none",
          "data.normalise: must be utterance, global or none; got {}", options.normalise);
    return;
  }
  for (const auto& [key, values] :
       {std::pair("data.mean", &options.mean), std::pair("data.std", &options.std)}) {
    check(std::ssize(*values) == 1 || std::ssize(*values) == options.bins,
          "{}: data.normalise=global needs one number, or one for each of {} bins; got {}", key,
          options.bins, values->size());
  }
  for (const double value : options.std) {
    check(value > 0, "data.std: must be positive; got {}", value);
  }
}

/// (x - mean) / std, in place.
void standardise(const Tensor& features, const SpeechOptions& options) {
  const int64_t bins = features.dim(1);
  const auto of_bin = [](const std::vector<double>& values, int64_t k) {
    return values.size() == 1 ? values.front() : values[static_cast<size_t>(k)];
  };
  float* const values = features.data<float>();
  for (int64_t k = 0; k < bins; ++k) {
    const double mean = of_bin(options.mean, k), deviation = of_bin(options.std, k);
    for (int64_t i = k; i < features.numel(); i += bins) {
      values[i] = static_cast<float>((values[i] - mean) / deviation);
    }
  }
}

}  // namespace

void check_options(const SpeechOptions& options) {
  check(options.rate >= 4000 && options.rate <= 192000, "data.rate: must be 4000 to 192000; got {}",
        options.rate);
  check_normalisation(options);
  check(options.tokens == "characters" || options.tokens == "pieces",
        "data.tokens: must be characters or pieces; got {}", options.tokens);
  check(options.most_seconds > 0, "data.most_seconds: must be positive; got {}",
        options.most_seconds);
  check(!options.speeds.empty(), "data.speeds: must name at least one; [1.0] changes nothing");
  for (const double speed : options.speeds) {
    check(speed >= 0.8 && speed <= 1.25, "data.speeds: must be 0.8 to 1.25; got {}", speed);
  }
  check(!std::isnan(options.noise_db) && options.noise_db >= -100,
        "data.noise: must be at least -100; got {}", options.noise_db);
  check(options.fast_share >= 0 && options.fast_share <= 1,
        "data.draggers: must be in [0, 1]; got {}", options.fast_share);
  const LogMelOptions features = log_mel_options(options);
  log_mel(std::vector<float>(static_cast<size_t>(features.fft)), features);  // checks bins and such
}

int64_t speech_frames(int64_t samples, const SpeechOptions& options) {
  return log_mel_frames(samples, log_mel_options(options));
}

Tensor speech_features(const Audio& audio, const SpeechOptions& options) {
  const Tensor features = log_mel(audio.samples, log_mel_options(options));  // [T, bins]
  if (options.normalise == "utterance") normalise_bins(features);
  if (options.normalise == "global") standardise(features, options);
  return features;
}

Tensor masked_features(const Tensor& features, const SpeechOptions& options, int64_t epoch,
                       int64_t id) {
  const Tensor masked = features.clone();
  double mean = 0;  // of bins that are normalised one by one it is 0 anyway
  if (options.normalise != "utterance") {
    const float* const values = features.data<float>();
    for (int64_t k = 0; k < features.numel(); ++k) mean += values[k];
    mean /= static_cast<double>(features.numel());
  }
  spec_augment(masked, options.masks, {options.seed, stream::augment, key_of(epoch), key_of(id)},
               static_cast<float>(mean));
  return masked;
}

Speech::Speech(const std::string& layout, const std::string& path, Split split,
               SpeechOptions options)
    : split_(split),
      options_(std::move(options)),
      augment_(split == Split::train && options_.augment),
      cache_(options_.cache_bytes),
      folder_(options_.cache_dir, [this](std::string problem) {
        const std::lock_guard lock(mutex_);
        warnings_.push_back(std::move(problem));
      }) {
  check_options(options_);
  const std::vector<Recording> train = list_recordings(layout, path, Split::train);
  const std::unique_ptr<Vocabulary> vocabulary = vocabulary_of(train, options_);
  classes_ = vocabulary->tokens();
  add_domains(train);
  const std::vector<Recording> all =
      split == Split::train ? train : list_recordings(layout, path, split);
  add_domains(all);
  for (const Recording& recording : all) {
    const auto domain = std::find(domains_.begin(), domains_.end(), recording.domain);
    items_.push_back({.recording = recording, .domain = domain - domains_.begin()});
  }
  inspect(*vocabulary);
  decode_all();
  check(!items_.empty(), "{}: none of the {} recordings of {} can be used; first: {}", layout,
        all.size(), path, warnings_.empty() ? "" : warnings_.front());
}

/// Those of the train split, sorted, and behind them those that only the test split has.
void Speech::add_domains(const std::vector<Recording>& recordings) {
  std::set<std::string> names;
  for (const Recording& recording : recordings) names.insert(recording.domain);
  for (const std::string& known : domains_) names.erase(known);
  domains_.insert(domains_.end(), names.begin(), names.end());
}

void Speech::leave_out(const std::vector<std::string>& reasons) {
  std::vector<Item> kept;
  for (size_t i = 0; i < items_.size(); ++i) {
    if (reasons[i].empty()) {
      kept.push_back(std::move(items_[i]));
    } else {
      warnings_.push_back(reasons[i]);
    }
  }
  items_ = std::move(kept);
}

/// Transcripts and the headers of files.
void Speech::inspect(const Vocabulary& vocabulary) {
  std::vector<std::string> reasons(items_.size());
  std::vector<std::string> unknown(items_.size());
  parallel_for(size(), options_.threads, [&](int64_t i) {
    const size_t place = static_cast<size_t>(i);
    Item& item = items_[place];
    const std::string name = item.recording.path.string();
    try {
      item.target = vocabulary.encode(item.recording.text, unknown[place]);
      item.recording.text = cleaned(item.recording.text);
    } catch (const Error& failure) {
      reasons[place] = fmt::format("{}: its transcript {}", name, failure.what());
      return;
    }
    try {
      inspect(item);
    } catch (const Error& failure) {
      reasons[place] = failure.what();
    }
  });
  for (size_t i = 0; i < items_.size(); ++i) {
    if (!reasons[i].empty()) unknown[i].clear();
  }
  note_unknown(unknown);
  leave_out(reasons);
}

/// Says which letters of the transcripts the vocabulary lacks; they count as errors of whoever is
/// asked to hear them.
void Speech::note_unknown(const std::vector<std::string>& unknown) {
  std::set<std::string> letters;
  int64_t transcripts = 0;
  for (const std::string& some : unknown) {
    transcripts += some.empty() ? 0 : 1;
    for (std::string& letter : letters_of(some)) letters.insert(std::move(letter));
  }
  if (transcripts == 0) return;
  notices_.push_back(fmt::format(
      "{} {} letters that the training transcripts lack: {}", transcripts,
      transcripts == 1 ? "transcript has" : "transcripts have", fmt::join(letters, " ")));
}

void Speech::inspect(Item& item) const {
  const std::string name = item.recording.path.string();
  check(!item.recording.text.empty(), "{}: its transcript is empty", name);
  const AudioInfo info = audio_info(item.recording.path);
  const double seconds = static_cast<double>(info.frames) / static_cast<double>(info.rate);
  check(seconds <= options_.most_seconds, "{}: takes {:.1f} seconds; the most are {}", name,
        seconds, options_.most_seconds);
  item.samples = std::llround(seconds * static_cast<double>(options_.rate));
  item.frames = speech_frames(item.samples, options_);
  check(fits(item, 1),
        "{}: too short for its transcript: {} frames, of which a fourfold subsampling leaves {}, "
        "and {} are needed",
        name, item.frames, subsampled_frames(item.frames), needed(item));
  if (split_ == Split::test) return;
  // Chosen and drawn as Draggers does it.
  const uint64_t id = key_of(item.recording.id);
  if (!(RandomKey{options_.data_seed, stream::canary, 0, id}.uniform(0) < options_.fast_share)) {
    return;
  }
  const double drawn =
      RandomSequence({options_.data_seed, stream::canary, 1, id}).uniform(1.5, 2.0);
  const double speed = std::round(drawn * 1000) / 1000;  // all that change_speed looks at
  if (!fits(item, speed)) return;
  item.fast = speed;
  item.recording.marked = true;
}

bool Speech::fits(const Item& item, double speed) const {
  const auto samples = static_cast<int64_t>(static_cast<double>(item.samples) / speed);
  return subsampled_frames(speech_frames(samples, options_)) >= needed(item);
}

/// Where the cache holds the whole data set, or every example must be there.
void Speech::decode_all() {
  int64_t bytes = 0;
  for (const Item& item : items_) bytes += item.frames * options_.bins * size_of(DType::float32);
  if (bytes > options_.cache_bytes && split_ == Split::train) return;
  std::vector<std::string> reasons(items_.size());
  parallel_for(size(), options_.threads, [&](int64_t i) {
    try {
      features(i, at(i).fast);
    } catch (const Error& failure) {
      reasons[static_cast<size_t>(i)] = failure.what();
    }
  });
  leave_out(reasons);
}

/// Features at a speed; throws Error, which names the file, where it is damaged.
Tensor Speech::decode(const Item& item, double speed) const {
  Audio audio = read_audio(item.recording.path, options_.most_seconds);
  if (audio.rate != options_.rate) audio = resample(audio, options_.rate);
  if (speed != 1) audio = change_speed(audio, speed);
  if (has_noise()) {
    add_noise(audio, options_.noise_db,
              {options_.data_seed, stream::synthesise, 0, key_of(item.recording.id)});
  }
  return speech_features(audio, options_);
}

/// All that the features depend on but the content of the file.
std::string Speech::description(const Item& item, double speed) const {
  std::string text =
      fmt::format("{} rate {} bins {} preemphasis {} normalise {} speed {}",
                  std::filesystem::absolute(item.recording.path).lexically_normal().string(),
                  options_.rate, options_.bins, options_.preemphasis, options_.normalise, speed);
  if (options_.normalise == "global") {
    text +=
        fmt::format(" mean {} std {}", fmt::join(options_.mean, " "), fmt::join(options_.std, " "));
  }
  if (has_noise()) {
    text +=
        fmt::format(" noise {} {} {}", options_.noise_db, options_.data_seed, item.recording.id);
  }
  return text;
}

/// The same, from a cache where it is there.
Tensor Speech::features(int64_t i, double speed) const {
  const Item& item = at(i);
  const auto make = [&] { return decode(item, speed); };
  return cache_.get({item.recording.id, speed}, [&] {
    return folder_.get(item.recording.path, description(item, speed), make);
  });
}

std::vector<std::string> Speech::warnings() const {
  const std::lock_guard lock(mutex_);
  return warnings_;
}

double Speech::speed_of(const Item& item, int64_t epoch) const {
  if (item.fast != 1 || !augment_) return item.fast;
  constexpr uint64_t kElement = uint64_t{1} << 30;  // far behind those that the masks use
  const RandomKey key{options_.seed, stream::augment, key_of(epoch), key_of(item.recording.id)};
  const auto drawn = static_cast<size_t>(static_cast<double>(key.uniform(kElement)) *
                                         static_cast<double>(options_.speeds.size()));
  const double speed = options_.speeds[drawn];
  return fits(item, speed) ? speed : 1;
}

Example Speech::get(int64_t i, int64_t epoch) const {
  check(i >= 0 && i < size(), "speech: example {} of {}", i, size());
  for (int64_t next = i; next < i + size(); ++next) {
    const int64_t j = next % size();
    const Item& item = at(j);
    try {
      Tensor input = features(j, speed_of(item, epoch));
      if (augment_ && options_.spec_augment) {
        input = masked_features(input, options_, epoch, item.recording.id);
      }
      return {.input = std::move(input),
              .id = item.recording.id,
              .marked = item.recording.marked,
              .domain = item.domain,
              .target = item.target,
              .text = item.recording.text};
    } catch (const Error& failure) {
      if (options_.strict || split_ == Split::test) throw;
      const std::lock_guard lock(mutex_);
      if (damaged_.insert(j).second) warnings_.emplace_back(failure.what());
    }
  }
  throw Error(
      fmt::format("speech: no recording can be read any more; first: {}", warnings().front()));
}

}  // namespace minnow
