#pragma once

#include <limits>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "train/config.h"

namespace minnow {

/// The place of a key's value in a Config; its type is the type of the key.
using Field = std::variant<int64_t*, uint64_t*, double*, bool*, std::string*, std::vector<int64_t>*,
                           std::vector<double>*, std::vector<std::string>*>;

/// What a value may be: a number in [low, high] (without the ends where `open`), or one of some
/// names.
struct Limits {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  bool low_open = false, high_open = false;
  std::vector<std::string> names = {};
};

struct Key {
  std::string name;
  Field (*field)(Config&);
  Limits limits;
  std::string help;
};

const std::vector<Key>& config_keys();
/// nullptr where there is none.
const Key* find_key(std::string_view name);
/// The known key that a wrong one most likely means; empty where none is near.
std::string nearest_key(std::string_view name);

/// "an integer", "a number", "true or false", "a string", "a list of numbers".
std::string type_name(const Field& field);
bool is_list(const Field& field);
/// Throws Error, beginning with `where`, unless the field's value is within the limits.
void check_limits(const Key& key, const Field& field, const std::string& where);

}  // namespace minnow
