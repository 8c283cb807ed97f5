#pragma once

#include <map>
#include <string>
#include <vector>

#include "data/speech.h"
#include "tests/data/files.h"

namespace minnow::data_test {

/// A tone that rises by half.
std::vector<float> tone(double seconds, double hertz, int rate = 16000);

/// A folder with manifests and WAV files.
class Corpus {
 public:
  std::filesystem::path path() const { return folder_.path(); }

  void add(const std::string& list, const std::string& name, const std::string& text,
           const std::vector<float>& samples, int rate = 16000, const std::string& more = "");
  void add_line(const std::string& list, const std::string& name, const std::string& text,
                const std::string& more = "");
  Speech open(Split split, SpeechOptions options = {}) const;

 private:
  TemporaryFolder folder_;
  std::map<std::string, std::string> lists_;
};

/// Twelve tones of 0.5 to 1.6 seconds to train with and three for the test.
void fill(Corpus& corpus);

}  // namespace minnow::data_test
