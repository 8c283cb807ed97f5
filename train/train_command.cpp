#include <fmt/format.h>

#include <cstdio>

#include "train/commands.h"
#include "train/run_folder.h"
#include "train/trainer.h"

namespace minnow {

int train_command(const std::vector<std::string>& arguments) {
  const RunPlan plan = plan_run(arguments);
  Trainer trainer(plan.config, plan.from);
  const Outcome outcome = trainer.run();
  const Config& config = trainer.config();
  if (outcome == Outcome::interrupted) {
    const std::string message =
        fmt::format("interrupted after step {} of {}; go on with: minnow train run.resume={}\n",
                    trainer.step(), trainer.total_steps(), config.run.dir);
    std::fputs(message.c_str(), stderr);  // which may be a terminal that has been closed
    return kExitInterrupted;
  }
  if (const auto& score = trainer.score()) {
    fmt::print("test: {}\n", to_string(*score));
  }
  fmt::print("run: {}\n", config.run.dir);
  if (!config.run.save.empty()) fmt::print("weights: {}\n", config.run.save);
  return 0;
}

}  // namespace minnow
