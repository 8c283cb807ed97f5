#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "data/dataset.h"
#include "train/history.h"

namespace minnow {

/// The confusion matrix of an "eval" record as an HTML section: `confusion`, K rows of K counts, a
/// row for the true class and a column for the predicted one, and `classes`, their names, where
/// given. Nothing where the record holds none.
std::string confusion_section(const nlohmann::json& record);

/// The examples with the smallest and the largest norms as an HTML section: nothing where single
/// examples were not seen. `pictures`: the data set that holds them, uint8; nullptr: they are shown
/// without, and `why` says why.
std::string examples_section(const History& history, const Dataset* pictures,
                             const std::string& why);

}  // namespace minnow
