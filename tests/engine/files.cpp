#include "engine/files.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tests/expect_error.h"
#include "tests/file_size_limit.h"
#include "tests/temporary_folder.h"

namespace minnow {
namespace {

namespace fs = std::filesystem;

int entries(const fs::path& folder) {
  int count = 0;
  for ([[maybe_unused]] const auto& entry : fs::directory_iterator(folder)) ++count;
  return count;
}

TEST(Files, WritesAndReplaces) {
  const TemporaryFolder folder;
  const fs::path path = folder / "file";
  write_file_atomically(path, "a longer first content");
  EXPECT_EQ(read_text_file(path), "a longer first content");
  write_file_atomically(path, "short");
  EXPECT_EQ(read_text_file(path), "short");
  write_file_atomically(path, "");
  EXPECT_EQ(read_text_file(path), "");
  EXPECT_EQ(entries(folder.path()), 1);
}

TEST(Files, BytesSurvive) {
  const TemporaryFolder folder;
  std::vector<std::byte> bytes(100'003);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 31);
  write_file_atomically(folder / "bytes", bytes);
  EXPECT_EQ(read_file(folder / "bytes"), bytes);
}

TEST(Files, TheNewFileHasTheUsualPermissions) {
  const TemporaryFolder folder;
  const mode_t mask = umask(022);
  write_file_atomically(folder / "file", "x");
  umask(mask);
  EXPECT_EQ(fs::status(folder / "file").permissions(), fs::perms{0644});
}

TEST(Files, TheOldFileStaysUntilTheCommit) {
  const TemporaryFolder folder;
  const fs::path path = folder / "file";
  write_file_atomically(path, "old");
  {
    AtomicFile file(path);
    file.write("new");
    EXPECT_EQ(read_text_file(path), "old");
    EXPECT_EQ(entries(folder.path()), 2);
    file.write(", in two parts");
    file.commit();
    EXPECT_EQ(read_text_file(path), "new, in two parts");
  }
  EXPECT_EQ(entries(folder.path()), 1);
}

TEST(Files, WithoutACommitNothingIsLeft) {
  const TemporaryFolder folder;
  const fs::path path = folder / "file";
  write_file_atomically(path, "old");
  {
    AtomicFile file(path);
    file.write("never seen");
  }
  EXPECT_EQ(read_text_file(path), "old");
  EXPECT_EQ(entries(folder.path()), 1);
}

TEST(Files, TwoWritersOfOneFileDoNotMix) {
  const TemporaryFolder folder;
  const fs::path path = folder / "file";
  AtomicFile first(path), second(path);
  first.write("first");
  second.write("second");
  first.commit();
  second.commit();
  EXPECT_EQ(read_text_file(path), "second");
}

TEST(Files, ARelativeNameIsInTheCurrentFolder) {
  const TemporaryFolder folder;
  const fs::path before = fs::current_path();
  fs::current_path(folder.path());
  write_file_atomically("bare_name", "x");
  fs::current_path(before);
  EXPECT_EQ(read_text_file(folder / "bare_name"), "x");
}

TEST(Files, AMissingFolderIsNamed) {
  const TemporaryFolder folder;
  const fs::path path = folder / "missing/file";
  expect_error<RunError>([&] { write_file_atomically(path, "x"); },
                         {path.string(), "No such file or directory"});
}

TEST(Files, AFolderIsNotReplaced) {
  const TemporaryFolder folder;
  fs::create_directory(folder / "name");
  expect_error<RunError>([&] { write_file_atomically(folder / "name", "x"); },
                         {(folder / "name").string(), "Is a directory"});
  EXPECT_EQ(entries(folder.path()), 1);
}

TEST(Files, AFolderThatRefusesIsNamed) {
  if (geteuid() == 0) GTEST_SKIP() << "the superuser may write into every folder";
  const TemporaryFolder folder;
  fs::permissions(folder.path(), fs::perms{0555});
  expect_error<RunError>([&] { write_file_atomically(folder / "file", "x"); },
                         {(folder / "file").string(), "Permission denied"});
  fs::permissions(folder.path(), fs::perms{0755});
}

TEST(Files, ADiskThatIsFullLeavesTheOldFile) {
  const TemporaryFolder folder;
  const fs::path path = folder / "file";
  write_file_atomically(path, "old");
  {
    const test::FileSizeLimit limit(1000);
    expect_error<RunError>([&] { write_file_atomically(path, std::string(5000, 'x')); },
                           {path.string(), "cannot write", "File too large"});
  }
  EXPECT_EQ(read_text_file(path), "old");
  EXPECT_EQ(entries(folder.path()), 1);
}

TEST(Files, OnlyLeftoversOfTheDeadAreRemoved) {
  const TemporaryFolder folder;
  const pid_t child = fork();
  if (child == 0) {
    AtomicFile unfinished(folder / "file");
    unfinished.write("half");
    _exit(0);  // no destructor runs, as after SIGKILL
  }
  ASSERT_GT(child, 0);
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
  write_file_atomically(folder / ".minnow-other", "kept");
  AtomicFile living(folder / "file");
  living.write("whole");
  EXPECT_EQ(entries(folder.path()), 3);
  remove_leftovers(folder.path());
  EXPECT_EQ(entries(folder.path()), 2);
  living.commit();
  EXPECT_EQ(read_text_file(folder / "file"), "whole");
  EXPECT_EQ(entries(folder.path()), 2);
  remove_leftovers(folder / "missing");
}

TEST(Files, WhatCannotBeReadIsNamed) {
  const TemporaryFolder folder;
  const fs::path missing = folder / "missing";
  expect_error([&] { read_file(missing); }, {missing.string(), "No such file or directory"});
  expect_error([&] { read_text_file(folder.path()); }, {folder.path().string(), "Is a directory"});
}

// The size that the system tells of such a file is 0.
TEST(Files, ReadsFilesThatHaveNoSize) {
  if (!fs::exists("/proc/self/status")) GTEST_SKIP() << "this system has no /proc";
  EXPECT_NE(read_text_file("/proc/self/status").find("Pid:"), std::string::npos);
}

TEST(Files, AFolderIsLockedForOneAtATime) {
  const TemporaryFolder folder;
  {
    const FolderLock first(folder.path());
    EXPECT_TRUE(first.held());
    EXPECT_FALSE(FolderLock(folder.path()).held());
  }
  EXPECT_TRUE(FolderLock(folder.path()).held());
}

TEST(Files, OnlyWhatWritersNameIsALeftover) {
  const TemporaryFolder folder;
  for (const char* name :
       {".minnow-12-3.tmp", ".minnow-notes.tmp", ".minnow-1.tmp", ".minnow--.tmp"}) {
    write_file_atomically(folder / name, std::string_view("text"));
  }
  remove_leftovers(folder.path());
  EXPECT_FALSE(std::filesystem::exists(folder / ".minnow-12-3.tmp"));
  for (const char* name : {".minnow-notes.tmp", ".minnow-1.tmp", ".minnow--.tmp"}) {
    EXPECT_TRUE(std::filesystem::exists(folder / name)) << name;
  }
}

}  // namespace
}  // namespace minnow
