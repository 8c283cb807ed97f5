#include "data/recordings.h"

#include "tests/data/files.h"

namespace minnow::data_test {
namespace {

namespace fs = std::filesystem;

void write_text(const fs::path& path, std::string_view text) {
  write_file(path, Bytes(text.begin(), text.end()));
}

void write_an4(const fs::path& root) {
  write_text(root / "etc/an4_train.fileids",
             "an4_clstk/fash/an251-fash-b\nan4_clstk/mmxg/x-mmxg\n");
  write_text(root / "etc/an4_train.transcription",
             "<s> YES </s> (an251-fash-b)\r\n\n<s> P I  T </s> (x-mmxg)\n");
  write_text(root / "etc/an4_test.fileids", "an4test_clstk/fcaw/an406-fcaw-b\n");
  write_text(root / "etc/an4_test.transcription", "RUBOUT G M (an406-fcaw-b)\n");
  write_file(root / "wav/an4_clstk/mmxg/x-mmxg.wav", {0});
}

TEST(Recordings, An4) {
  const TemporaryFolder folder;
  write_an4(folder.path());
  const auto train = list_recordings("an4", folder.path(), Split::train);
  ASSERT_EQ(train.size(), 2u);
  EXPECT_EQ(train[0].path, folder.path() / "wav/an4_clstk/fash/an251-fash-b.flac");  // is missing
  EXPECT_EQ(train[1].path, folder.path() / "wav/an4_clstk/mmxg/x-mmxg.wav");
  EXPECT_EQ(train[0].text, "YES");
  EXPECT_EQ(train[1].text, "P I  T");
  EXPECT_EQ(train[1].speaker, "mmxg");
  EXPECT_EQ(train[1].domain, "all");
  EXPECT_EQ(train[1].id, 1);
  const auto test = list_recordings("an4", folder.path(), Split::test);
  ASSERT_EQ(test.size(), 1u);
  EXPECT_EQ(test[0].text, "RUBOUT G M");
  EXPECT_EQ(test[0].id, kFirstTestId);
}

TEST(Recordings, An4Errors) {
  const TemporaryFolder folder;
  const auto list = [&] { list_recordings("an4", folder.path(), Split::train); };
  expect_error(list, {"an4: no file", "an4_train.fileids"});
  write_an4(folder.path());
  const fs::path texts = folder.path() / "etc/an4_train.transcription";
  write_text(texts, "<s> YES </s> (an251-fash-b)\n");
  expect_error(list, {"an4_train.transcription", "as many lines", "2 and 1"});
  write_text(texts, "<s> YES </s> (an251-fash-b)\n\n<s> NO </s> (x-mmxf)\n");
  expect_error(list, {"an4_train.transcription line 3", "(x-mmxg)", "(x-mmxf)"});
  write_text(folder.path() / "etc/an4_train.fileids", "");
  write_text(texts, "");
  expect_error(list, {"no recording of the train split"});
}

TEST(Recordings, Librispeech) {
  const TemporaryFolder folder;
  const auto chapter = [&](const std::string& part, const std::string& speaker,
                           const std::string& number, std::string_view text) {
    write_text(folder.path() / part / speaker / number / (speaker + "-" + number + ".trans.txt"),
               text);
  };
  chapter("train-other-500", "20", "5", "20-5-0000 IT'S\n");
  chapter("train-clean-100", "19", "198", "19-198-0000 NORTHANGER ABBEY\n19-198-0001 A B\n");
  chapter("test-clean", "7", "1", "7-1-0000\n");
  chapter("test-other", "8", "1", "8-1-0000 X\n");
  const auto train = list_recordings("librispeech", folder.path(), Split::train);
  ASSERT_EQ(train.size(), 3u);
  EXPECT_EQ(train[0].path, folder.path() / "train-clean-100/19/198/19-198-0000.flac");
  EXPECT_EQ(train[0].text, "NORTHANGER ABBEY");
  EXPECT_EQ(train[0].speaker, "19");
  EXPECT_EQ(train[1].id, 1);
  EXPECT_EQ(train[0].domain, "clean");
  EXPECT_EQ(train[2].domain, "other");
  EXPECT_EQ(train[2].text, "IT'S");
  const auto test = list_recordings("librispeech", folder.path(), Split::test);
  ASSERT_EQ(test.size(), 2u);
  EXPECT_EQ(test[0].text, "");
  EXPECT_EQ(test[0].domain, "clean");
  EXPECT_EQ(test[1].text, "X");
  EXPECT_EQ(test[1].domain, "other");
}

TEST(Recordings, LibrispeechErrors) {
  const TemporaryFolder folder;
  const auto list = [&] { list_recordings("librispeech", folder.path(), Split::train); };
  expect_error(list, {"no folder train-*"});
  fs::create_directories(folder.path() / "train-clean-100/19/198");
  expect_error(list, {"no file", "19-198.trans.txt"});
  const fs::path texts = folder.path() / "train-clean-100/19/198/19-198.trans.txt";
  write_text(texts, "19-198-0000 A\n../../x B\n");
  expect_error(list, {"19-198.trans.txt line 2", "19-..."});
  write_text(texts, "\n");
  expect_error(list, {"no recording"});
}

TEST(Recordings, ManifestFolder) {
  const TemporaryFolder folder;
  write_text(folder.path() / "train_b.jsonl", "{\"audio\": \"/far/z.wav\", \"text\": \"z\"}\n");
  write_text(folder.path() / "train_a.json",
             "{\"audio_filepath\": \"x.wav\", \"duration\": 1.5, \"text\": \"Grüße\", "
             "\"speaker\": 7, \"domain\": \"tv\", \"mark\": true}\n\n"
             "{\"audio_filepath\": \"d/y.wav\", \"text\": \"\", \"domain\": null}");
  write_text(folder.path() / "test.json", "{\"audio\": \"t.wav\", \"text\": \"t\"}\n");
  write_text(folder.path() / "notes.txt", "no JSON");
  const auto train = list_recordings("manifest", folder.path(), Split::train);
  ASSERT_EQ(train.size(), 3u);
  EXPECT_EQ(train[0].path, folder.path() / "x.wav");
  EXPECT_EQ(train[0].text, "Grüße");
  EXPECT_EQ(train[0].speaker, "7");
  EXPECT_EQ(train[0].domain, "tv");
  EXPECT_TRUE(train[0].marked);
  EXPECT_EQ(train[1].path, folder.path() / "d/y.wav");
  EXPECT_EQ(train[1].domain, "all");
  EXPECT_FALSE(train[1].marked);
  EXPECT_EQ(train[2].path, "/far/z.wav");
  EXPECT_EQ(train[2].id, 2);
  EXPECT_EQ(list_recordings("manifest", folder.path(), Split::test).at(0).text, "t");
}

/// A tenth of 1000 is held out: 100, with a standard deviation of 9.5; five of them.
TEST(Recordings, OneManifestGivesBothSplits) {
  const TemporaryFolder folder;
  std::string text;
  for (int i = 0; i < 1000; ++i) text += fmt::format("{{\"audio\": \"{}\", \"text\": \"a\"}}\n", i);
  const fs::path file = folder.path() / "all.json";
  write_text(file, text);
  const auto train = list_recordings("manifest", file, Split::train);
  const auto test = list_recordings("manifest", file, Split::test);
  EXPECT_EQ(train.size() + test.size(), 1000u);
  EXPECT_NEAR(static_cast<double>(test.size()), 100, 48);
  std::vector<bool> seen(1000);
  for (const auto& recordings : {train, test}) {
    for (const Recording& recording : recordings) {
      const int64_t place = std::stoll(recording.path.filename().string());
      EXPECT_EQ(recording.id % kFirstTestId, place);
      EXPECT_EQ(recording.id >= kFirstTestId, &recordings != &train && recordings.size() < 500);
      EXPECT_FALSE(seen[static_cast<size_t>(place)]);
      seen[static_cast<size_t>(place)] = true;
    }
  }
}

TEST(Recordings, ManifestErrors) {
  const TemporaryFolder folder;
  const fs::path file = folder.path() / "train.json";
  const auto list = [&] { list_recordings("manifest", folder.path(), Split::train); };
  expect_error(list, {"manifest", "no train*.json"});
  const std::string good = "{\"audio\": \"a.wav\", \"text\": \"a\"}\n";
  for (const auto& [line, rule] : std::vector<std::pair<std::string, std::string>>{
           {"{\"audio\": \"a.wav\"", "one JSON object"},
           {"[1]", "one JSON object"},
           {std::string(100000, '['), "one JSON object"},
           {"{\"audio\": \"a.wav\", \"text\": \"\xff\"}", "one JSON object"},
           {"{\"text\": \"a\"}", "needs \"audio_filepath\""},
           {"{\"audio\": \"\", \"text\": \"a\"}", "needs \"audio_filepath\""},
           {"{\"audio\": [], \"text\": \"a\"}", "\"audio\" must be a string; got []"},
           {"{\"audio\": \"a\"}", "needs \"text\""},
           {"{\"audio\": \"a\", \"text\": \"a\", \"mark\": 1}", "\"mark\" must be true or false"},
           {"{\"audio\": \"a\", \"text\": \"a\", \"offset\": 2.5}", "\"offset\" 2.5"}}) {
    write_text(file, good + line + "\n" + good);
    expect_error(list, {"train.json line 2: ", rule});
  }
  write_text(file, "");
  expect_error(list, {"no recording"});
}

TEST(Recordings, Errors) {
  expect_error([] { list_recordings("an4", "", Split::train); }, {"an4", "data.path"});
  expect_error([] { list_recordings("an4", "/no/such", Split::train); }, {"nothing at /no/such"});
  expect_error([] { list_recordings("timit", "/", Split::train); }, {"layout", "timit"});
}

}  // namespace
}  // namespace minnow::data_test
