#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "train/commands.h"
#include "train/run_folder.h"
#include "train/trained_model.h"
#include "train/trainer.h"

namespace minnow {
namespace {

namespace fs = std::filesystem;

/// Small enough that both runs take about two minutes on two cores.
constexpr const char* kPictures = R"(
[model]
name = "vit"
patch = 4
dim = 64
depth = 3
heads = 4
[data]
name = "shapes"
train_size = 4000
test_size = 1000
draggers = 0.1
[train]
epochs = 10
batch = 32
[schedule]
name = "cosine"
warmup = 100
[clip]
micro_batch = 4
[log]
norms = true
)";

/// The same for a model that transcribes: tones that spell words.
constexpr const char* kSounds = R"(
[model]
name = "conformer"
dim = 64
depth = 2
heads = 4
conv_kernel = 7
subsampling = 16
[data]
name = "tones"
train_size = 1500
test_size = 200
draggers = 0.1
dragger_kind = "label"
[train]
epochs = 8
batch = 16
[optim]
betas = [0.9, 0.98]
[schedule]
name = "cosine"
warmup = 100
[clip]
micro_batch = 1
on_nonfinite = "drop"
[log]
norms = true
)";

/// Which of the two recipes the settings are for.
bool is_about_sounds(const std::vector<std::string>& settings) {
  return std::any_of(settings.begin(), settings.end(), [](const std::string& setting) {
    return setting == "data.name=tones" || setting == "model.name=conformer";
  });
}

/// What a dragger has, see data.dragger_kind.
std::string dragger_text(const std::string& kind, bool sounds) {
  const std::string wrong = sounds ? "a wrong transcript" : "a wrong label";
  if (kind == "label") return wrong;
  if (kind == "noise") return "noise";
  if (kind == "duplicate") return "a copy of one of a few examples";
  if (kind == "other") return "the input of another data set";
  return kind == "mix" ? "noise, or " + wrong : "a sound that is far too fast";
}

struct Variant {
  std::string rule, title;
  double lr;
};
/// The learning rate is the best of 0.001 and 0.002 for each, by the mean last top-1 of the seeds
/// 0, 1, 2 at 10 % draggers: 67 (0.001) and 65 % (0.002) in plain training, 70.3 and 69.8 % in
/// clipped training. 0.0005 was worse for both at seed 0. Single results spread over as much as ten
/// points.
const Variant kVariants[] = {{"none", "plain", 0.001}, {"min", "clipped", 0.001}};

/// Mean norm and coefficient of micro-batches of one kind.
struct Means {
  double norm = 0, coefficient = 0;
  int64_t count = 0;

  void add(double n, double c) {
    norm += n;
    coefficient += c;
    ++count;
  }
  std::string row(const char* name) const {
    if (count == 0) return fmt::format("  {:<22} there was none\n", name);
    const auto n = static_cast<double>(count);
    return fmt::format("  {:<22}{:>10}{:>12.3f}{:>18.3f}\n", name, count, norm / n,
                       coefficient / n);
  }
};

/// What a run says of itself in its metrics.jsonl.
struct Findings {
  Means with_dragger, without;
  double loss = 0, seconds_per_step = 0;
  double score = 0;  // the share of right pictures, or of wrong words
};

void add_step(const nlohmann::json& record, Findings& findings) {
  for (size_t j = 0; j < record["norms"].size(); ++j) {
    if (!record["norms"][j].is_number()) continue;  // not finite
    Means& means = record["marked"][j] == 1 ? findings.with_dragger : findings.without;
    means.add(record["norms"][j], record["coefficients"][j]);
  }
}

Findings read_findings(const Config& config) {
  Findings findings;
  int64_t steps = 0;
  std::ifstream file(metrics_path(config.run.dir));
  for (std::string line; std::getline(file, line);) {
    const auto record = nlohmann::json::parse(line);
    if (record["kind"] == "eval") {
      findings.score = record.contains("wer") ? record["wer"] : record["top1"];
      findings.loss = record["loss"];
    } else {
      if (config.log.norms) add_step(record, findings);
      findings.seconds_per_step +=
          static_cast<double>(config.train.batch) / record["examples_per_s"].get<double>();
      ++steps;
    }
  }
  findings.seconds_per_step /= static_cast<double>(steps);
  return findings;
}

Config configure(const Variant& variant, const fs::path& folder,
                 const std::vector<std::string>& settings) {
  for (const std::string& setting : settings) {
    check(!setting.starts_with("run."), "{}: the demo makes its own run folders", setting);
  }
  Config config;
  apply_toml(config, is_about_sounds(settings) ? kSounds : kPictures, "the demo's recipe");
  config.optim.lr = variant.lr;
  config.clip.rule = variant.rule;
  apply_overrides(config, settings);
  if (variant.rule == "none") {  // one group a step: plain training has no micro-batches to look at
    config.clip.rule = "none";
    config.log.norms = false;
  }
  config.run.dir = (folder / variant.title).string();
  return config;
}

/// Trains one variant; nothing where it was interrupted.
std::optional<Findings> train(const Config& config, const std::string& title) {
  Trainer trainer(config);
  fmt::print(stderr, "\n== {}: clip.rule={}, optim.lr={}\n", title, config.clip.rule,
             config.optim.lr);
  if (trainer.run() == Outcome::interrupted) return std::nullopt;
  return read_findings(trainer.config());
}

fs::path new_folder() {
  for (int64_t n = 1;; ++n) {
    fs::path folder = fmt::format("runs/demo-{}", n);
    if (!fs::exists(folder)) return folder;
  }
}

void print_findings(const Findings& plain, const Findings& clipped, const char* score) {
  fmt::print("\nMicro-batches of the clipped run, over all steps:\n");
  fmt::print("  {:<22}{:>10}{:>12}{:>18}\n", "", "count", "mean norm", "mean coefficient");
  fmt::print("{}{}", clipped.without.row("without a dragger"),
             clipped.with_dragger.row("with a dragger"));
  fmt::print("\n  {:<22}{:>10}{:>12}{:>18}\n", "", score, "test loss", "ms per step");
  for (const auto& [name, run] : {std::pair{"plain", plain}, std::pair{"clipped", clipped}}) {
    fmt::print("  {:<22}{:>8.2f} %{:>12.4f}{:>18.1f}\n", name, 100 * run.score, run.loss,
               1e3 * run.seconds_per_step);
  }
}

/// Some test utterances, and what the run's model hears in them.
void print_transcripts(const Config& config) {
  const TrainedModel trained = load_trained_model(find_weights(config.run.dir).string());
  const auto dataset = open_data(trained.config, Split::test, false);
  const Decoder decoder({}, trained.notes.classes);
  fmt::print("\nThe first test utterances, and what the clipped run hears in them:\n");
  for (int64_t i = 0; i < std::min<int64_t>(5, dataset->size()); ++i) {
    const Example example = dataset->get(i, 0);
    fmt::print("  {:<24} {}\n", example.text, transcript(trained, decoder, example.input));
  }
}

void print_next(const fs::path& folder, bool sounds) {
  fmt::print("\nThis is one seed: `minnow demo seed=1` shows another. Next:\n");
  if (sounds) {
    fmt::print(
        "  minnow demo data.name=tones data.draggers=0.3 clip.micro_batch=4\n"
        "  minnow eval {0}/clipped --beam 8\n"
        "  minnow train data.name=manifest data.path=MANIFESTS model.name=conformer "
        "data.augment=speech\n"
        "  minnow transcribe RUN SOUNDS...\n",
        folder.string());
    return;
  }
  fmt::print(
      "  minnow demo data.draggers=0.3 clip.micro_batch=1\n"
      "  minnow demo data.name=tones\n"
      "  minnow eval {0}/clipped\n"
      "  minnow train {0}/clipped/config.toml run.dir=runs/mine model.depth=6\n"
      "  minnow train data.name=imagefolder data.path=PICTURES data.image=64 model.patch=8 "
      "clip.rule=min\n",
      folder.string());
}

}  // namespace

int demo_command(const std::vector<std::string>& arguments) {
  const fs::path folder = new_folder();
  std::vector<Config> configs;
  for (const Variant& variant : kVariants) configs.push_back(configure(variant, folder, arguments));
  const Config& clipped = configs[1];
  const bool sounds = is_about_sounds(arguments);
  fmt::print(
      "A small model learns {}; {:.0f} % of its training examples are draggers:\n"
      "{}. First plain training, then with every micro-batch of {} rescaled by\n"
      "clip.rule={}; same start, same order of examples. {}\n",
      sounds ? "the letters of " + clipped.data.set.name
             : "the pictures of " + clipped.data.set.name,
      100 * clipped.data.set.dragger_fraction, dragger_text(clipped.data.set.dragger_kind, sounds),
      clipped.clip.micro_batch, clipped.clip.rule,
      sounds ? "Both have the same learning rate."
             : "The learning rate of each was chosen\n"
               "beforehand, the better of 0.001 and 0.002 over three seeds.");
  std::fflush(stdout);
  std::vector<Findings> findings;
  for (size_t i = 0; i < configs.size(); ++i) {
    const auto found = train(configs[i], kVariants[i].title);
    if (!found) {
      fmt::print(stderr, "interrupted\n");
      return kExitInterrupted;
    }
    findings.push_back(*found);
  }
  print_findings(findings[0], findings[1], sounds ? "word errors" : "top-1");
  if (sounds) print_transcripts(clipped);
  print_next(folder, sounds);
  return 0;
}

}  // namespace minnow
