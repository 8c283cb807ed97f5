#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <cmath>
#include <memory>
#include <variant>

#include "engine/check.h"
#include "train/study/cli.h"
#include "train/study/theory_report.h"

namespace minnow::study {
namespace {

constexpr const char* kLossNames[] = {"quadratic", "nonconvex"};

struct TheoryKey {
  const char* name;
  std::variant<double*, int64_t*, std::vector<int64_t>*, Loss*> value;
  const char* help;
};

std::vector<TheoryKey> keys_of(TheoryOptions& o) {
  Constants& k = o.constants;
  return {{"epsilon", &k.epsilon, "probability of a dragger"},
          {"sigma", &k.sigma, "root of the variance of a benign gradient"},
          {"c", &k.c, "smallest ratio of a dragger's norm to the benign gradient's"},
          {"C", &k.C, "largest ratio"},
          {"L", &k.L, "smoothness of the loss"},
          {"gap", &k.gap, "loss at the start over its lower bound"},
          {"B", &k.B, "examples of a step"},
          {"T", &o.T, "numbers of steps; one run of each"},
          {"b", &o.b, "sizes of micro-batches"},
          {"seeds", &o.seeds, "runs of each kind"},
          {"loss", &o.loss, "quadratic or nonconvex"}};
}

/// Error where `text` is not all of a number.
template <class Number>
Number parse(const std::string& key, std::string_view text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  check(error == std::errc() && end == text.data() + text.size(), "{}: must be a number; got '{}'",
        key, text);
  return number;
}

std::vector<int64_t> parse_list(const std::string& key, std::string_view text) {
  std::vector<int64_t> all;
  for (size_t at = 0; at <= text.size();) {
    const size_t comma = std::min(text.find(',', at), text.size());
    all.push_back(parse<int64_t>(key, text.substr(at, comma - at)));
    at = comma + 1;
  }
  return all;
}

Loss parse_loss(std::string_view text) {
  for (const Loss loss : {Loss::quadratic, Loss::nonconvex}) {
    if (text == kLossNames[static_cast<int>(loss)]) return loss;
  }
  throw Error(fmt::format("loss: must be quadratic or nonconvex; got '{}'", text));
}

/// Does what fits the kind of value that a key has.
template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};
template <class... F>
Overloaded(F...) -> Overloaded<F...>;

void check_ascending(const char* key, const std::vector<int64_t>& list, int64_t least) {
  for (size_t i = 0; i < list.size(); ++i)
    check(list[i] >= (i == 0 ? least : list[i - 1] + 1), "{}: must ascend from {} or more; got {}",
          key, least, fmt::join(list, ","));
}

}  // namespace

void set_option(TheoryOptions& options, const std::string& argument) {
  const size_t equal = argument.find('=');
  check(equal != std::string::npos, "study theory: takes key=value; got '{}'", argument);
  const std::string name = argument.substr(0, equal), text = argument.substr(equal + 1);
  for (const TheoryKey& key : keys_of(options)) {
    if (name != key.name) continue;
    std::visit(Overloaded{[&](double* to) { *to = parse<double>(name, text); },
                          [&](int64_t* to) { *to = parse<int64_t>(name, text); },
                          [&](std::vector<int64_t>* to) { *to = parse_list(name, text); },
                          [&](Loss* to) { *to = parse_loss(text); }},
               key.value);
    return;
  }
  throw Error(fmt::format("study theory: there is no key '{}'; the keys are {}", name,
                          "epsilon, sigma, c, C, L, gap, B, T, b, seeds, loss"));
}

std::string describe(const TheoryOptions& options) {
  TheoryOptions copy = options;
  std::string text;
  for (const TheoryKey& key : keys_of(copy)) {
    const std::string value = std::visit(
        Overloaded{
            [](double* from) { return fmt::format("{}", *from); },
            [](int64_t* from) { return fmt::format("{}", *from); },
            [](std::vector<int64_t>* from) { return fmt::format("{}", fmt::join(*from, ",")); },
            [](Loss* from) { return std::string(kLossNames[static_cast<int>(*from)]); }},
        key.value);
    text += fmt::format("  {:<34} {}\n", fmt::format("{}={}", key.name, value), key.help);
  }
  return text;
}

void check_options(const TheoryOptions& options) {
  const Constants& k = options.constants;
  check(k.epsilon > 0 && k.epsilon < 1, "epsilon: must be between 0 and 1; got {}", k.epsilon);
  check(k.sigma >= 0 && std::isfinite(k.sigma), "sigma: must be 0 or more; got {}", k.sigma);
  check(k.c >= 0 && k.c <= k.C && std::isfinite(k.C), "c: must be from 0 to C; got {} and {}", k.c,
        k.C);
  check(k.L > 0 && std::isfinite(k.L), "L: must be positive; got {}", k.L);
  check(k.gap > 0 && std::isfinite(k.gap), "gap: must be positive; got {}", k.gap);
  check(k.B >= 1 && k.B <= 65536, "B: must be from 1 to 65536; got {}", k.B);
  check(options.seeds >= 1, "seeds: must be 1 or more; got {}", options.seeds);
  check_ascending("T", options.T, 10);
  check_ascending("b", options.b, 1);
  for (const int64_t b : options.b) check(k.B % b == 0, "b: must divide B = {}; got {}", k.B, b);
  // Whether the loss can be as large as the gap.
  simulate({.constants = k, .loss = options.loss}, Method::sgd, k.B, 1, 0);
}

Subcommand add_theory(CLI::App& study) {
  struct Options {
    std::vector<std::string> arguments;
    std::string folder;
  };
  auto options = std::make_shared<Options>();
  CLI::App* app = study.add_subcommand(
      "theory", "Theorems 4.1 and 4.2: the bounds, the proofs, and a simulation beside them");
  app->add_option("arguments", options->arguments, "constants of the theorems")
      ->type_name("[KEY=VALUE...]");
  add_folder_option(*app, "theory", options->folder);
  app->footer(
      "Evaluates both bounds exactly as printed; runs SGD and micro-batch clipping on a smooth "
      "loss "
      "with planted\ndraggers whose constants are known, and sets the measured norms of the "
      "gradient beside the bounds; leaves\nout each assumption in turn; says where the proofs have "
      "gaps. Takes about a minute.\n\nKeys and their defaults:\n" +
      describe({}) +
      "\nExamples:\n"
      "  minnow study theory\n"
      "  minnow study theory epsilon=0.1 sigma=8 b=1,4,16,64 T=100,1000,10000 -o studies/noisy\n"
      "  minnow study theory loss=nonconvex gap=1 seeds=10");
  return {app, [options](const std::string& command) {
            TheoryOptions chosen;
            for (const std::string& argument : options->arguments) set_option(chosen, argument);
            check_options(chosen);
            study_theory(chosen, command, options->folder);
            return 0;
          }};
}

}  // namespace minnow::study
