#include "data/imagefolder.h"

#include <set>

#include "tests/data/files.h"

namespace minnow::data_test {
namespace {

namespace fs = std::filesystem;

class ImageFolders : public testing::Test {
 protected:
  fs::path root() const { return folder_.path(); }
  void add(const std::string& name, const Bytes& bytes) { write_file(root() / name, bytes); }
  void add_plain(const std::string& name, uint8_t shade) {
    add(name, png(2, 2, 3, plain(2, shade, shade, shade)));
  }
  ImageFolder open(Split split = Split::train, ImageFolderOptions options = {.size = 2}) {
    return ImageFolder(root().string(), split, options);
  }
  /// Separate folders keep small sets whole: without them a tenth would be held out.
  void add_test_split() {
    add_plain("test/a/0.png", 1);
    add_plain("test/b/0.png", 2);
  }

 private:
  TemporaryFolder folder_;
};

TEST_F(ImageFolders, SortsClassesAndFiles) {
  add_test_split();
  add_plain("train/b/2.png", 30);
  add_plain("train/b/10.PNG", 20);
  add_plain("train/a/z.png", 10);
  add("train/c/x.JPEG", jpeg(8, 8, 3, plain(8, 200, 200, 200)));
  add("train/c/readme.txt", {'n', 'o'});
  add("train/c/._x.jpg", {'n', 'o'});
  add("train/.hidden/x.jpg", {'n', 'o'});
  const ImageFolder set = open();
  EXPECT_EQ(set.classes(), (std::vector<std::string>{"a", "b", "c"}));
  ASSERT_EQ(set.size(), 4);
  const int shade[] = {10, 20, 30, 200};
  const int64_t label[] = {0, 1, 1, 2};
  for (int64_t i = 0; i < 4; ++i) {
    const Example example = set.get(i, 0);
    EXPECT_EQ(example.input.shape(), (Shape{3, 2, 2}));
    EXPECT_NEAR(example.input.data<uint8_t>()[0], shade[i], i == 3 ? 3 : 0);
    EXPECT_EQ(example.label, label[i]);
    EXPECT_EQ(example.id, i);
    EXPECT_FALSE(example.marked);
  }
  EXPECT_TRUE(set.warnings().empty());
}

TEST_F(ImageFolders, LeavesOutAndNamesWhatIsUnreadable) {
  add_test_split();
  const Bytes whole = jpeg(8, 8, 3, plain(8, 9, 9, 9));
  add_plain("train/a/0.png", 10);
  add("train/a/1-empty.jpg", {});
  add("train/a/2-text.png", {'t', 'e', 'x', 't'});
  add("train/a/3-cut.jpg", Bytes(whole.begin(), whole.end() - 20));
  add("train/a/4-dot.png", png(1, 1, 3, {40, 40, 40}));
  fs::create_directories(root() / "train/a/5-folder.png");
  fs::create_symlink("nowhere", root() / "train/a/6-dangling.png");
  add_plain("train/b/0.png", 20);
  fs::create_directories(root() / "train/c");
  for (const int64_t cache : {int64_t{1} << 30, int64_t{0}}) {
    const ImageFolder set = open(Split::train, {.size = 2, .cache_bytes = cache, .threads = 3});
    EXPECT_EQ(set.cached(), cache > 0);
    ASSERT_EQ(set.size(), 3);
    const std::vector<int64_t> ids{set.get(0, 0).id, set.get(1, 0).id, set.get(2, 0).id};
    EXPECT_EQ(ids, (std::vector<int64_t>{0, 4, 6}));  // places among all files, readable or not
    EXPECT_EQ(set.get(1, 0).input.data<uint8_t>()[11], 40);
    EXPECT_EQ(set.get(2, 0).input.data<uint8_t>()[0], 20);
    const std::vector<std::string> warnings = set.warnings();
    ASSERT_EQ(warnings.size(), 5u);
    const char* named[] = {"train/c: no", "1-empty.jpg", "2-text.png", "3-cut.jpg",
                           "6-dangling.png"};
    for (size_t w = 0; w < 5; ++w) {
      EXPECT_NE(warnings[w].find(named[w]), std::string::npos) << warnings[w];
    }
  }
}

TEST_F(ImageFolders, LazyAndCachedGiveTheSamePixels) {
  add_test_split();
  for (int i = 0; i < 6; ++i) {
    add("train/" + std::string(i % 2 ? "a" : "b") + "/" + std::to_string(i) + ".jpg",
        jpeg(9, 7, 3, Bytes(189, static_cast<uint8_t>(40 * i))));
  }
  const ImageFolder cached = open(Split::train, {.size = 4, .cache_bytes = 6 * 48});
  const ImageFolder lazy = open(Split::train, {.size = 4, .cache_bytes = 6 * 48 - 1});
  EXPECT_TRUE(cached.cached());
  EXPECT_FALSE(lazy.cached());
  for (int64_t i = 0; i < 6; ++i) {
    EXPECT_EQ(bytes_of(cached.get(i, 0).input), bytes_of(lazy.get(i, 0).input));
  }
}

/// Between head and end only decoding finds the damage; the next picture stands in.
TEST_F(ImageFolders, DamageInsideAPictureIsNamedWhenItIsMet) {
  add_test_split();
  add_plain("train/b/0.png", 20);
  Bytes damaged = png(2, 2, 3, plain(2, 1, 2, 3));
  damaged[41] = 0xff;  // the first byte of the compressed data
  add("train/a/damaged.png", damaged);
  add("train/b/damaged.png", damaged);
  EXPECT_EQ(open().size(), 1);
  const ImageFolder lazy = open(Split::train, {.size = 2, .cache_bytes = 0});
  ASSERT_EQ(lazy.size(), 3);
  EXPECT_TRUE(lazy.warnings().empty());
  for (const int64_t i : {0, 1, 0, 2}) {
    const Example example = lazy.get(i, 0);
    EXPECT_EQ(example.id, 1);
    EXPECT_EQ(example.label, 1);
    EXPECT_EQ(bytes_of(example.input), Bytes(12, 20));
  }
  const std::vector<std::string> warnings = lazy.warnings();
  ASSERT_EQ(warnings.size(), 2u);  // each once, as it was met
  EXPECT_NE(warnings[0].find("a/damaged.png: "), std::string::npos) << warnings[0];
  EXPECT_NE(warnings[1].find("b/damaged.png: "), std::string::npos) << warnings[1];
}

TEST_F(ImageFolders, WithNothingReadableLeftThereIsAnError) {
  add_test_split();
  add_plain("train/a/0.png", 10);
  add_plain("train/b/0.png", 20);
  const ImageFolder lazy = open(Split::train, {.size = 2, .cache_bytes = 0});
  fs::remove_all(root() / "train");
  expect_error([&] { lazy.get(1, 0); }, {"no picture can be read", "b/0.png"});
}

TEST_F(ImageFolders, SplitFolders) {
  add_plain("train/a/0.png", 10);
  add_plain("train/b/0.png", 20);
  add_plain("train/c/0.png", 30);
  add_plain("val/c/0.png", 40);
  const ImageFolder val = open(Split::test);
  ASSERT_EQ(val.size(), 1);
  EXPECT_EQ(val.get(0, 0).label, 2);  // counted among the classes of train
  EXPECT_EQ(val.get(0, 0).id, kFirstTestId);
  add_plain("test/b/0.png", 50);
  EXPECT_EQ(open(Split::test).get(0, 0).input.data<uint8_t>()[0], 50);
  EXPECT_EQ(open(Split::train).size(), 3);
  add_plain("test/d/0.png", 50);
  expect_error([&] { open(Split::test); }, {"the class d", "train"});
}

TEST_F(ImageFolders, ATestFolderAloneCanBeMeasuredOn) {
  add_test_split();
  EXPECT_EQ(open(Split::test).size(), 2);
  expect_error([&] { open(Split::train); }, {"train"});
}

/// 400 pictures at one in ten: mean 40, standard deviation 6; five of them either way.
TEST_F(ImageFolders, HoldsOutATenth) {
  for (int i = 0; i < 400; ++i) {
    add_plain((i % 2 ? "a/" : "train/") + std::to_string(i) + ".png", static_cast<uint8_t>(i));
  }
  const ImageFolder train = open(Split::train), test = open(Split::test);
  EXPECT_EQ(train.classes(), (std::vector<std::string>{"a", "train"}));  // no split: only a name
  EXPECT_EQ(train.size() + test.size(), 400);
  EXPECT_GE(test.size(), 10);
  EXPECT_LE(test.size(), 70);
  std::set<std::string> files;
  std::set<int64_t> ids;
  for (const ImageFolder* set : {&train, &test}) {
    for (int64_t i = 0; i < set->size(); ++i) {
      files.insert(set->file(i).string());
      ids.insert(set->get(i, 0).id);
    }
  }
  EXPECT_EQ(files.size(), 400u);
  EXPECT_EQ(ids.size(), 400u);
}

TEST_F(ImageFolders, OneClearErrorEach) {
  expect_error([&] { ImageFolder((root() / "gone").string(), Split::train, {.size = 2}); },
               {"imagefolder", "no folder at", "gone"});
  expect_error([&] { ImageFolder("", Split::train, {.size = 2}); }, {"data.path"});
  add("notes.txt", {'x'});
  expect_error([&] { open(); }, {"no class folders", root().string()});
  fs::create_directories(root() / "a");
  expect_error([&] { open(); }, {"at least 2", "only a"});
  fs::create_directories(root() / "b");
  expect_error([&] { open(); }, {"no readable", root().string()});
  expect_error([&] { open(Split::train, {.size = 0}); }, {"side", "got 0"});
  for (int i = 0; i < 40; ++i) add("a/" + std::to_string(i) + ".png", {'x'});
  expect_error([&] { open(); }, {"no readable", "first"});
}

}  // namespace
}  // namespace minnow::data_test
