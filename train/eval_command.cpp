#include <nlohmann/json.hpp>

#include "train/commands.h"
#include "train/confusion.h"
#include "train/evaluate.h"
#include "train/records.h"
#include "train/run_folder.h"
#include "train/task.h"

namespace minnow {

int eval_command(const std::string& source, const std::vector<std::string>& arguments,
                 const EvalOptions& options) {
  const std::string weights = find_weights(source).string();
  check_confusion_path(options.confusion);
  Config config;
  const std::string carried = config_in(weights);
  check(!carried.empty() || !arguments.empty(),
        "{}: says nothing about its model and data; give a recipe or key=value arguments", weights);
  apply_toml(config, carried, weights);
  fit_to_machine(config);
  apply_arguments(config, arguments);
  check_config(config);
  use_threads(config);
  const auto dataset = open_data(config, Split::test, false);
  resolve(config, *dataset);
  check(dataset->transcribed() || options.decoder.plain(),
        "--beam, --lm, --lm-weight and --word-bonus: {} has classes, not transcripts",
        config.data.set.name);
  check(!dataset->transcribed() || (options.confusion.empty() && !options.classes),
        "--classes and --confusion: {} has transcripts, not classes", config.data.set.name);
  const auto model = make_model(config, notes_on(*dataset));
  load_model(*model, weights, *dataset, options.raw);
  model->to(compute_device(config));
  const Score score = evaluate(*model, config, dataset, options.decoder);
  for (const std::string& line : LeftOut(dataset).news()) std::fputs((line + "\n").c_str(), stderr);
  const auto& names = dataset->classes();
  if (!options.confusion.empty()) save_confusion(options.confusion, score, names);
  if (options.json) {
    nlohmann::json record = score_record(score);
    record["weights"] = weights;
    record["examples"] = score.examples;
    if (options.classes) record["classes"] = class_records(score, names);
    // A class may have a name that is no UTF-8.
    fmt::print("{}\n", record.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  } else {
    fmt::print("{}: {} on {} test {} of {}\n", weights, to_string(score), score.examples,
               kind_of_examples(*dataset), config.data.set.name);
    if (score.text) fmt::print("{}", text_table(*score.text));
    if (score.impossible > 0) {
      fmt::print("{} utterances are too short for their transcripts; the loss leaves them out\n",
                 score.impossible);
    }
    if (score.domains.several()) fmt::print("{}", domain_table(score.domains));
    if (options.classes) fmt::print("{}", class_table(score, names));
  }
  return 0;
}

}  // namespace minnow
