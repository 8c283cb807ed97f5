#include "train/study/cli.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <new>

#include "train/commands.h"
#include "train/config.h"

namespace minnow {
namespace {

constexpr const char* kRecipeHelp =
    "a recipe file (TOML), and key=value settings, which win over it";

/// What was asked for on the command line.
struct Request {
  std::vector<std::string> arguments;
  std::string source;
  std::string output;
  std::string topic;
  EvalOptions eval;
  PredictOptions predict;
  TranscribeOptions transcribe;
};

void add_decoder(CLI::App& command, DecoderOptions& options) {
  command
      .add_option("--beam", options.beam,
                  "of transcripts: prefixes that the search keeps; 1: the best path")
      ->check(CLI::PositiveNumber)
      ->type_name("N")
      ->capture_default_str();
  command.add_option("--lm", options.language_model, "a language model of words, for the search")
      ->type_name("FILE.arpa");
  command
      .add_option("--lm-weight", options.weight,
                  fmt::format("of its logarithms; {} if left out", DecoderOptions::kUsualWeight))
      ->type_name("X");
  command.add_option("--word-bonus", options.word_bonus, "added for every word of the search")
      ->type_name("X")
      ->capture_default_str();
}

CLI::App* add_train(CLI::App& app, Request& request) {
  CLI::App* train = app.add_subcommand("train", "Train a model, or go on with a run");
  train->add_option("arguments", request.arguments, kRecipeHelp)
      ->type_name("[RECIPE.toml] [KEY=VALUE...]");
  train->footer(
      "A value is a TOML value (data.mean=[0.5,0.5,0.5]); what is none is a string. The run writes "
      "config.toml,\n"
      "metrics.jsonl, events for TensorBoard, report.html and checkpoints into its folder. Ctrl-C "
      "ends it after\n"
      "the step at hand, with a checkpoint.\n"
      "\nExamples:\n"
      "  minnow train clip.rule=min clip.micro_batch=4\n"
      "  minnow train recipe.toml optim.lr=3e-4 run.dir=runs/mine\n"
      "  minnow train run.resume=runs/mine\n\nKeys and their defaults:\n" +
      describe_keys());
  return train;
}

CLI::App* add_eval(CLI::App& app, Request& request) {
  CLI::App* eval = app.add_subcommand(
      "eval", "Loss, and accuracy or error rates, of saved weights on the test split");
  eval->add_option("weights", request.source, "a run folder, a checkpoint, or a safetensors file")
      ->required();
  eval->add_option("arguments", request.arguments, kRecipeHelp)
      ->type_name("[RECIPE.toml] [KEY=VALUE...]");
  eval->add_flag("--json", request.eval.json, "print one JSON object");
  eval->add_flag("--raw", request.eval.raw,
                 "of a run with train.ema: the weights themselves, not their averages");
  eval->add_flag("--classes", request.eval.classes, "count and accuracy of every class, too");
  eval->add_option("--confusion", request.eval.confusion,
                   "write how many pictures of each class (rows) are taken for which (columns)")
      ->type_name("FILE.tsv|FILE.json");
  add_decoder(*eval, request.eval.decoder);
  eval->footer(
      "Weights that minnow wrote carry their configuration; settings given here win over it.\n"
      "`minnow train --help` lists the keys.");
  return eval;
}

CLI::App* add_report(CLI::App& app, Request& request) {
  CLI::App* report =
      app.add_subcommand("report", "Draw a run: one HTML page that needs no network");
  report->add_option("run", request.source, "a run folder")->required();
  report
      ->add_option("-o", request.output, "the file to write; report.html in the folder if left out")
      ->type_name("FILE");
  report->footer(
      "Curves, norms of the gradients and, with log.norms=true clip.micro_batch=1, the examples "
      "with the\nsmallest and largest. `minnow train` writes the same at every evaluation, unless "
      "log.report=false.");
  return report;
}

CLI::App* add_predict(CLI::App& app, Request& request) {
  CLI::App* predict = app.add_subcommand("predict", "The most likely classes of pictures");
  predict
      ->add_option("model", request.source,
                   "a run folder, a checkpoint, or a safetensors file that minnow wrote")
      ->required();
  predict->add_option("files", request.arguments, "pictures, JPEG or PNG")
      ->required()
      ->type_name("FILE");
  predict->add_option("--top", request.predict.top, "classes to print for each picture")
      ->check(CLI::PositiveNumber)
      ->type_name("N")
      ->capture_default_str();
  predict->add_flag("--json", request.predict.json, "print one JSON object for each picture");
  predict->footer(
      "Pictures are resized and cropped as imagefolder does. One that cannot be read is named on "
      "stderr, the\nothers are done, and the exit status is 2. Averaged weights are used where "
      "there are some.\n"
      "\nExample:\n"
      "  minnow predict runs/mine photos/*.jpg --top 3");
  return predict;
}

CLI::App* add_transcribe(CLI::App& app, Request& request) {
  CLI::App* transcribe = app.add_subcommand("transcribe", "What a trained model hears in sounds");
  transcribe
      ->add_option("model", request.source,
                   "a run folder, a checkpoint, or a safetensors file that minnow wrote")
      ->required();
  transcribe->add_option("files", request.arguments, "sound: WAV, FLAC, OGG, ...")
      ->required()
      ->type_name("FILE");
  add_decoder(*transcribe, request.transcribe.decoder);
  transcribe
      ->add_option("--most-seconds", request.transcribe.most_seconds,
                   "how long a sound may be; if left out, as long as in training")
      ->check(CLI::PositiveNumber)
      ->type_name("N");
  transcribe->add_flag("--json", request.transcribe.json, "print one JSON object for each file");
  transcribe->footer(
      "A file that cannot be read is named on stderr, the others are done, and the exit status is "
      "2.\n"
      "\nExample:\n"
      "  minnow transcribe runs/mine recordings/*.flac --beam 16 --lm words.arpa");
  return transcribe;
}

/// One line on stderr; where nobody can read it, the exit status still tells.
void complain(const std::string& message) {
  std::fputs(("minnow: " + message + "\n").c_str(), stderr);
}

/// Runs `command`; what it throws becomes one line on stderr and the exit status.
template <class Command>
int report(Command&& command) {
  try {
    return command();
  } catch (const Error& error) {
    complain(error.what());
    return 2;
  } catch (const std::bad_alloc&) {
    complain("out of memory; turn down train.wave or train.batch");
  } catch (const std::exception& error) {
    complain(error.what());
  }
  return 1;
}

bool has_command(CLI::App& app, const std::string& name) {
  return !app.get_subcommands([&](CLI::App* command) { return command->get_name() == name; })
              .empty();
}

int help(CLI::App& app, const std::string& topic) {
  check(topic.empty() || has_command(app, topic), "help: there is no command {}", topic);
  // app.help() would be that of the command `help` itself.
  fmt::print("{}", topic.empty()
                       ? app.get_formatter()->make_help(&app, "minnow", CLI::AppFormatMode::Normal)
                       : app.get_subcommand(topic)->help("minnow"));
  return 0;
}

}  // namespace

int run_program(int argc, const char* const* argv) {
  CLI::App app(
      "Deep learning whose backward pass speaks groups of examples: adaptive micro-batch clipping "
      "at the\n"
      "cost of plain training.",
      "minnow");
  app.set_version_flag("--version", version(), "print the version");
  app.require_subcommand(1);
  app.get_formatter()->column_width(26);
  Request request;
  CLI::App* train = add_train(app, request);
  CLI::App* eval = add_eval(app, request);
  const CLI::App* draw = add_report(app, request);
  CLI::App* predict = add_predict(app, request);
  CLI::App* transcribe = add_transcribe(app, request);
  const study::Commands studies(app);
  CLI::App* demo = app.add_subcommand(
      "demo", "Train a small model with and without clipping, in about two minutes");
  demo->add_option("arguments", request.arguments, "settings that win over the demo's own")
      ->type_name("[KEY=VALUE...]");
  const CLI::App* info = app.add_subcommand("info", "What this build and this machine can do");
  CLI::App* help_command = app.add_subcommand("help", "Help on a command");
  help_command->add_option("command", request.topic, "its name");
  if (argc > 1 && argv[1][0] != '-' && !has_command(app, argv[1])) {
    complain(fmt::format("there is no command {}; see minnow help", argv[1]));
    return 2;
  }
  try {
    studies.check_name(argc, argv);
    app.parse(argc, argv);
  } catch (const Error& error) {
    complain(error.what());
    return 2;
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help and --version
    complain(fmt::format("{}; see minnow help", error.what()));
    return 2;
  }
  return report([&] {
    if (train->parsed()) return train_command(request.arguments);
    if (eval->parsed()) return eval_command(request.source, request.arguments, request.eval);
    if (predict->parsed()) {
      return predict_command(request.source, request.arguments, request.predict);
    }
    if (transcribe->parsed()) {
      return transcribe_command(request.source, request.arguments, request.transcribe);
    }
    if (draw->parsed()) return report_command(request.source, request.output);
    if (studies.parsed()) return studies.run(argc, argv);
    if (demo->parsed()) return demo_command(request.arguments);
    if (info->parsed()) return info_command();
    return help(app, request.topic);
  });
}

}  // namespace minnow
