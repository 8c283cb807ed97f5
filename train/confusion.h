#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "train/evaluate.h"

/// What a Score says of single classes, for people and for other programs. `names` has one name for
/// each class.
namespace minnow {

/// One line for each class: name, examples, correct ones, their share ("-" without examples).
std::string class_table(const Score& score, const std::vector<std::string>& names);
/// The same as a list of {"name", "examples", "correct", "accuracy"}; accuracy is null without
/// examples.
nlohmann::json class_records(const Score& score, const std::vector<std::string>& names);

/// The confusion matrix, a list of rows.
nlohmann::json confusion_rows(const Score& score);

/// Error unless a confusion matrix can be written there: .tsv or .json in a folder that exists. An
/// empty path asks for none.
void check_confusion_path(const std::filesystem::path& path);
/// Writes the confusion matrix: as {"classes": [names], "matrix": [[counts]]}, or as text with a
/// line of names and a line for each label, begun by its name. RunError where the disk refuses.
void save_confusion(const std::filesystem::path& path, const Score& score,
                    const std::vector<std::string>& names);

}  // namespace minnow
