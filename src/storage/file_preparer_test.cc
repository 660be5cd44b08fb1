#include "storage/file_preparer.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <functional>
#include <set>
#include <thread>

#include "base/clock.h"
#include "base/file.h"
#include "storage/storage_fixture.h"
#include "testing/temp_dir.h"

namespace steno {
namespace {

using std::chrono::milliseconds;

bool Eventually(const std::function<bool()>& condition) {
  for (int i = 0; i < 1000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(milliseconds(5));
  }
  return false;
}

std::unique_ptr<OutputFile> Take(FilePreparer& preparer, size_t slot) {
  std::unique_ptr<OutputFile> file;
  Eventually([&] { return (file = preparer.TryTake(slot)) != nullptr; });
  return file;
}

size_t FilesIn(const std::string& directory) { return ListDirectory(directory)->size(); }

TEST(FilePreparer, KeepsOneFileReadyPerSlot) {
  const testing::TempDir dir;
  const std::string a = dir.Make("a");
  const std::string b = dir.Make("b");
  std::set<std::string> names;
  {
    FilePreparer preparer({{a, 1 << 20, 4096}, {b, 2 << 20, 4096}});
    for (int i = 0; i < 5; ++i) {
      const auto file = Take(preparer, 0);
      ASSERT_NE(file, nullptr);
      EXPECT_EQ(file->directory, a);
      EXPECT_EQ(file->allocated_bytes, 1u << 20);
      EXPECT_TRUE(names.insert(file->hidden_name).second);
      ASSERT_TRUE(DiscardFile(std::move(*file)));
    }
    const auto file = Take(preparer, 1);
    ASSERT_NE(file, nullptr);
    EXPECT_EQ(file->directory, b);
    EXPECT_EQ(file->allocated_bytes, 2u << 20);
    ASSERT_TRUE(DiscardFile(std::move(*file)));
    ASSERT_TRUE(Eventually([&] { return FilesIn(a) == 1 && FilesIn(b) == 1; }));
    std::this_thread::sleep_for(milliseconds(250));
    EXPECT_EQ(FilesIn(a), 1u) << "not more than one";
    EXPECT_EQ(preparer.failures(0), 0u);
    EXPECT_EQ(preparer.last_errno(0), 0);
  }
  EXPECT_EQ(FilesIn(a), 0u) << "unused files are discarded";
  EXPECT_EQ(FilesIn(b), 0u);
}

TEST(FilePreparer, RetriesUntilTheDirectoryIsThere) {
  const testing::TempDir dir;
  const std::string good = dir.Make("good");
  const std::string late = dir.path() + "/late";
  FilePreparer preparer({{late, 4096, 4096}, {good, 4096, 4096}});
  ASSERT_TRUE(Eventually([&] { return preparer.failures(0) >= 3; }));
  EXPECT_EQ(preparer.last_errno(0), ENOENT);
  EXPECT_EQ(preparer.TryTake(0), nullptr);
  EXPECT_NE(Take(preparer, 1), nullptr) << "one bad disk does not stop the others";
  std::filesystem::create_directory(late);
  EXPECT_NE(Take(preparer, 0), nullptr);
  EXPECT_TRUE(Eventually([&] { return preparer.last_errno(0) == 0; }));
}

TEST(FilePreparer, TakesWhatTheDiskHasAndRecovers) {
  const testing::TempDir dir;
  const bool ran = OnSmallDisk(dir.path(), 10, [&] {
    FilePreparer preparer({{dir.path(), 64 << 20, 3 << 20}});
    auto first = Take(preparer, 0);
    ASSERT_NE(first, nullptr);
    EXPECT_EQ(first->allocated_bytes, 8u << 20);
    ASSERT_TRUE(Eventually([&] { return preparer.failures(0) >= 2; }));
    EXPECT_EQ(preparer.last_errno(0), ENOSPC);
    ASSERT_TRUE(DiscardFile(std::move(*first)));
    first.reset();  // the descriptor holds the space
    const auto second = Take(preparer, 0);
    ASSERT_NE(second, nullptr);
    EXPECT_EQ(second->allocated_bytes, 8u << 20);
  });
  if (!ran) GTEST_SKIP() << "no user namespaces here";
}

TEST(FilePreparer, ReplacesAFileThatSomebodyRemoved) {
  const testing::TempDir dir;
  FilePreparer preparer({{dir.path(), 4096, 4096}});
  ASSERT_TRUE(Eventually([&] { return FilesIn(dir.path()) == 1; }));
  const std::string removed = ListDirectory(dir.path())->front();
  ASSERT_EQ(::unlink((dir.path() + "/" + removed).c_str()), 0);
  ASSERT_TRUE(Eventually([&] { return FilesIn(dir.path()) == 1; }));
  const auto file = Take(preparer, 0);
  ASSERT_NE(file, nullptr);
  EXPECT_NE(file->hidden_name, removed);
  EXPECT_FALSE(WasRemoved(*file));
}

TEST(FilePreparer, StopsAtOnceWhileItFails) {
  const int64_t start = MonotonicNs();
  {
    const FilePreparer preparer({{"/nonexistent", 4096, 4096}});
  }
  EXPECT_LT(MonotonicNs() - start, 2 * kNsPerSecond);
}

}  // namespace
}  // namespace steno
