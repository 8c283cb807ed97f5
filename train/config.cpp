#include "train/config.h"

#include <fmt/ranges.h>
#include <omp.h>
#include <toml++/toml.h>

#include <nlohmann/json.hpp>
#include <sstream>
#include <type_traits>

#include "engine/files.h"
#include "train/config_keys.h"

namespace minnow {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;
// The library recurses into a.a.a.a..., a level every two bytes: no text may use up the stack.
constexpr size_t kLongestText = 32 << 10;
constexpr size_t kLongestName = 64;

template <class T>
inline constexpr bool is_vector = false;
template <class T>
inline constexpr bool is_vector<std::vector<T>> = true;

/// One value and where it was said: a file and line, or the command line.
struct Said {
  std::string name;
  const toml::node* value;
  std::string where;  ///< ends in ": "
  std::string raw;    ///< as on the command line; empty for a file
};

std::string found(const toml::node& value) {
  if (value.is_table()) return "a table";
  std::ostringstream text;
  value.visit([&](const auto& v) {
    if constexpr (!toml::is_table<decltype(v)>) text << v;
  });
  if (value.is_array()) return "the list " + text.str();
  const char* kind = value.is_string()           ? "the string "
                     : value.is_integer()        ? "the integer "
                     : value.is_floating_point() ? "the number "
                     : value.is_boolean()        ? "the boolean "
                                                 : "the date or time ";
  return kind + text.str();
}

/// Whether `node` fits the type; an integer fits a number too.
template <class T>
bool read(const toml::node& node, T& value) {
  if constexpr (is_vector<T>) {
    const toml::array* array = node.as_array();
    if (array == nullptr) return false;
    T elements(array->size());
    for (size_t i = 0; i < elements.size(); ++i) {
      if (!read((*array)[i], elements[i])) return false;
    }
    value = std::move(elements);
    return true;
  } else if constexpr (std::is_same_v<T, uint64_t>) {
    const auto integer = node.value_exact<int64_t>();
    if (!integer || *integer < 0) return false;
    value = static_cast<uint64_t>(*integer);
    return true;
  } else {
    std::optional<T> exact = node.value_exact<T>();
    if constexpr (std::is_same_v<T, double>) {
      if (const auto integer = node.value_exact<int64_t>()) exact = static_cast<double>(*integer);
    }
    if (exact) value = std::move(*exact);
    return exact.has_value();
  }
}

/// run.resume is a path or a boolean; a string key on the command line takes whatever was typed.
bool read_text(const Said& said, std::string& value) {
  if (said.name == "run.resume" && said.value->is_boolean()) {
    value = *said.value->value_exact<bool>() ? "true" : "";
    return true;
  }
  if (read(*said.value, value)) return true;
  if (said.raw.empty()) return false;
  value = said.raw;
  return true;
}

[[noreturn]] void unknown_key(const std::string& name, const std::string& where) {
  const std::string nearest = nearest_key(name);
  throw Error(fmt::format("{}there is no key {}{}", where, name,
                          nearest.empty() ? "; `minnow train --help` lists them all"
                                          : fmt::format("; did you mean {}?", nearest)));
}

void assign(Config& config, const Said& said) {
  const Key* key = find_key(said.name);
  if (key == nullptr) unknown_key(said.name, said.where);
  const Field field = key->field(config);
  const bool fits = std::visit(
      [&](auto* value) {
        using T = std::remove_pointer_t<decltype(value)>;
        if constexpr (std::is_same_v<T, std::string>) return read_text(said, *value);
        return read(*said.value, *value);
      },
      field);
  const char* natural = std::holds_alternative<uint64_t*>(field) ? ", not negative" : "";
  check(fits, "{}{}: expected {}{}; found {}", said.where, said.name, type_name(field), natural,
        found(*said.value));
  check_limits(*key, field, said.where);
}

/// Whether any key begins with this.
bool is_section(const std::string& prefix) {
  for (const Key& key : config_keys()) {
    if (key.name.starts_with(prefix)) return true;
  }
  return false;
}

void collect(const toml::table& table, const std::string& prefix, const std::string& source,
             std::vector<Said>& into) {
  for (const auto& [name, node] : table) {
    const std::string full = prefix + std::string(name.str());
    const std::string where = fmt::format("{}:{}: ", source, node.source().begin.line);
    const toml::table* section = node.as_table();
    // The leaves of a section that does not exist name the keys that do not exist.
    const bool unknown = section != nullptr && !section->empty() && find_key(full) == nullptr &&
                         full.size() < kLongestName;
    if (section != nullptr && (unknown || is_section(full + "."))) {
      collect(*section, full + ".", source, into);
    } else {
      into.push_back({full, &node, where, {}});
    }
  }
}

/// Sets all that one place says. Saying how long to train twice in one place is a contradiction; in
/// two places, the later one has the last word.
void assign_all(Config& config, const std::vector<Said>& all) {
  bool epochs = false, steps = false;
  auto& train = config.train;
  for (const Said& said : all) {
    assign(config, said);
    epochs = epochs || said.name == "train.epochs";
    steps = steps || said.name == "train.steps";
    check(!(epochs && steps && train.epochs > 0 && train.steps > 0),
          "{}train.epochs and train.steps are both given ({} and {}); keep one of them", said.where,
          train.epochs, train.steps);
  }
  if (steps && train.steps > 0) train.epochs = 0;
  if (epochs && train.epochs > 0) train.steps = 0;
}

void check_length(std::string_view text, const std::string& where) {
  check(text.size() <= kLongestText, "{}: {} bytes are more than settings may have, which is {}",
        where, text.size(), kLongestText);
}

toml::table parse(std::string_view text, const std::string& source) {
  check_length(text, source);
  try {
    return toml::parse(text, source);
  } catch (const toml::parse_error& error) {
    const auto begin = error.source().begin;
    throw Error(fmt::format("{}:{}:{}: no valid TOML: {}", source, begin.line, begin.column,
                            error.description()));
  }
}

/// TOML is UTF-8, so the configuration of a run could hold nothing else.
bool is_utf8(const std::string& text) {
  try {
    (void)nlohmann::json(text).dump();
  } catch (const nlohmann::json::exception&) {
    return false;
  }
  return true;
}

/// `text` as a TOML value under the name "value"; a string where it is none.
toml::table parse_value(const std::string& text, bool must_parse) {
  try {
    toml::table table = toml::parse("value = " + text);
    if (table.size() == 1) return table;
  } catch (const toml::parse_error& error) {
    if (must_parse) throw Error(fmt::format("{}: no valid TOML: {}", text, error.description()));
  }
  return toml::table{{"value", text}};
}

/// Whether an argument is `key=value`, and not a file's path that holds a "=".
bool is_override(const std::string& argument) {
  const size_t equals = argument.find('=');
  return equals != std::string::npos && argument.find('/') > equals;
}

std::string toml_text(bool value) {
  return value ? "true" : "false";
}
std::string toml_text(int64_t value) {
  return std::to_string(value);
}
std::string toml_text(uint64_t value) {
  return std::to_string(value);
}

/// The shortest digits that read back as the same number, and a point where TOML would see an
/// integer.
std::string toml_text(double value) {
  const std::string digits = fmt::format("{}", value);
  return digits.find_first_not_of("-0123456789") == std::string::npos ? digits + ".0" : digits;
}

std::string toml_text(const std::string& value) {
  std::ostringstream text;
  const toml::value<std::string> node(value);
  text << toml::toml_formatter(node, toml::format_flags::none);
  return text.str();
}

template <class T>
std::string toml_text(const std::vector<T>& values) {
  std::vector<std::string> texts;
  texts.reserve(values.size());
  for (const T& value : values) texts.push_back(toml_text(value));
  return fmt::format("[{}]", fmt::join(texts, ", "));
}

std::string text_of(const Field& field) {
  return std::visit([](const auto* value) { return toml_text(*value); }, field);
}

/// What OMP_NUM_THREADS says, or else all processors; read before anything can set another number.
const int threads_at_start = omp_get_max_threads();

}  // namespace

int64_t Config::thread_count() const {
  return threads > 0 ? threads : threads_at_start;
}

DatasetConfig Config::dataset() const {
  DatasetConfig set = data.set;
  if (set.image_size == 0) set.image_size = model.vit.image;
  set.cache_bytes = data.cache * kMiB;
  set.threads = thread_count();
  set.speech.augment = data.augment == "speech";
  set.speech.seed = seed;
  set.speech.mean = data.mean;
  set.speech.std = data.std;
  if (!data.noise.empty()) set.speech.noise_db = data.noise.front();
  return set;
}

OptimizerConfig Config::optimizer() const {
  OptimizerConfig config = optim;
  config.beta1 = betas.at(0);
  config.beta2 = betas.at(1);
  return config;
}

ClipRule Config::clip_rule() const {
  ClipRule rule;
  rule.rule = rule_from(clip.rule);
  rule.scope = scope_from(clip.scope);
  rule.reduction = reduction_from(clip.reduction);
  rule.on_nonfinite = on_nonfinite_from(clip.on_nonfinite);
  rule.threshold = clip.threshold;
  rule.quantile = clip.quantile;
  rule.gamma = clip.gamma;
  return rule;
}

GroupedOptions Config::grouped_options() const {
  return {.strategy = strategy_from(clip.strategy),
          .wave = train.wave,
          .memory_budget = clip.memory_budget * kMiB,
          .tau = clip.tau};
}

void apply_toml(Config& config, std::string_view text, const std::string& source) {
  const toml::table table = parse(text, source);
  std::vector<Said> all;
  collect(table, "", source, all);
  assign_all(config, all);
}

void apply_file(Config& config, const std::filesystem::path& path) {
  check(!std::filesystem::is_directory(path), "{}: is a folder, not a recipe", path.string());
  apply_toml(config, read_text_file(path), path.string());
}

void apply_overrides(Config& config, std::span<const std::string> arguments) {
  std::vector<toml::table> values;
  std::vector<Said> all;
  values.reserve(arguments.size());
  for (const std::string& argument : arguments) {
    const size_t equals = argument.find('=');
    check(equals != std::string::npos && equals > 0, "{}: expected key=value", argument);
    const std::string name = argument.substr(0, equals), text = argument.substr(equals + 1);
    const Key* key = find_key(name);
    if (key == nullptr) unknown_key(name, "");
    check_length(text, name);
    check(is_utf8(text), "{}: the value is not UTF-8", name);
    values.push_back(parse_value(text, is_list(key->field(config))));
    all.push_back({name, values.back().get("value"), "", text});
  }
  assign_all(config, all);
}

void apply_arguments(Config& config, std::span<const std::string> arguments) {
  std::vector<std::string> files, overrides;
  for (const std::string& argument : arguments) {
    (is_override(argument) ? overrides : files).push_back(argument);
  }
  check(files.size() <= 1, "expected one recipe file and key=value arguments; got the files {}",
        fmt::join(files, " and "));
  if (!files.empty()) apply_file(config, files.front());
  apply_overrides(config, overrides);
}

std::string to_toml(const Config& config) {
  Config copy = config;  // fields are given out for writing
  std::string text, section;
  for (const Key& key : config_keys()) {
    if (key.name == "run.resume") continue;
    const size_t dot = key.name.find('.');
    const std::string prefix = dot == std::string::npos ? "" : key.name.substr(0, dot);
    if (prefix != section) text += fmt::format("\n[{}]\n", section = prefix);
    text += fmt::format("{} = {}\n", key.name.substr(dot + 1), text_of(key.field(copy)));
  }
  return text;
}

std::string value_text(const Config& config, std::string_view key) {
  Config copy = config;
  const Key* known = find_key(key);
  if (known == nullptr) unknown_key(std::string(key), "");
  return text_of(known->field(copy));
}

std::vector<std::string> differing_keys(const Config& a, const Config& b) {
  std::vector<std::string> names;
  for (const Key& key : config_keys()) {
    if (value_text(a, key.name) != value_text(b, key.name)) names.push_back(key.name);
  }
  return names;
}

std::string describe_keys() {
  Config defaults;
  std::string text;
  for (const Key& key : config_keys()) {
    const auto& names = key.limits.names;
    const std::string setting = fmt::format("{} = {}", key.name, text_of(key.field(defaults)));
    text += fmt::format("  {:<32} {}\n", setting, key.help);
    if (!names.empty()) text += fmt::format("{:35}{}\n", "", fmt::join(names, ", "));
  }
  return text;
}

}  // namespace minnow
