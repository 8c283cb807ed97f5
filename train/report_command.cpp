#include <fmt/format.h>

#include "train/commands.h"
#include "train/report.h"

namespace minnow {

int report_command(const std::string& run_dir, const std::string& output) {
  namespace fs = std::filesystem;
  const fs::path to = output.empty() ? report_path(run_dir) : fs::path(output);
  check(!fs::is_directory(to), "-o: {} is a folder; name a file", to.string());
  check(output.empty() || fs::is_directory(fs::absolute(to).parent_path()),
        "-o: there is no folder {}", fs::absolute(to).parent_path().string());
  write_report(run_dir, to);
  fmt::print("report: {}\n", to.string());
  return 0;
}

}  // namespace minnow
