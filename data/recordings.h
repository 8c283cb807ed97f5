#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "data/dataset.h"

namespace minnow {

/// A sound file and what is said in it.
struct Recording {
  std::filesystem::path path = {};  ///< the file may be missing
  std::string text = {};            ///< as written; may be empty
  std::string speaker = {};
  std::string domain = "all";
  bool marked = false;  ///< a planted dragger
  int64_t id = 0;       ///< its place in the list of the split, see kFirstTestId
};

/// The recordings of a split, in the order of their lists. Layouts:
///
/// - "an4": PATH/etc/an4_{train,test}.{fileids,transcription}; files
/// PATH/wav/FILEID.{flac,wav,sph}.
/// - "librispeech": the transcripts SPEAKER/CHAPTER/SPEAKER-CHAPTER.trans.txt and the .flac files
///   beside them in all folders PATH/train-*, or for the test split PATH/test-*. The domain is the
///   word after the dash: clean, other.
/// - "manifest": PATH is a folder with train*.json, or .jsonl, and test*.json files, or one such
///   file. A line is one JSON object: "audio_filepath" (or "audio"; relative to the file's folder),
///   "text", and if given "speaker", "domain", "mark" (true: a dragger). Where no file is of the
///   test split, a tenth of the train files' lines is, see held_for().
///
/// Throws Error that names the file, and the line, where a list is missing or not as described, or
/// is of no recording.
std::vector<Recording> list_recordings(std::string_view layout, const std::filesystem::path& path,
                                       Split split);

}  // namespace minnow
