#include "server/capture_directories.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/file.h"
#include "testing/temp_dir.h"

namespace steno {
namespace {

namespace fs = std::filesystem;

// A tree as a killed server leaves it, an hour ago.
std::string MakeTree(const testing::TempDir& dir, const std::string& name) {
  const std::string path = dir.Make(name);
  fs::create_symlink("/nowhere", path + "/PKT0");
  const timespec times[2] = {{::time(nullptr) - 3600, 0}, {::time(nullptr) - 3600, 0}};
  EXPECT_EQ(::utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
  return path;
}

TEST(CaptureDirectoriesTest, RemovesWhatDeadServersLeftAndNothingElse) {
  const testing::TempDir dir;
  const std::string abandoned = MakeTree(dir, "stenographerAbCdEf");
  const std::string in_use = MakeTree(dir, "stenographerInUse1");
  const std::string other_name = MakeTree(dir, "stenographer-notes");
  const std::string young = dir.Make("stenographerYoung1");
  const std::string with_data = dir.Make("stenographerDataXX");
  std::ofstream(with_data + "/file") << "x";
  const timespec times[2] = {{1, 0}, {1, 0}};
  ASSERT_EQ(::utimensat(AT_FDCWD, with_data.c_str(), times, 0), 0);
  const auto lock = OpenFile(in_use, O_RDONLY | O_DIRECTORY);
  ASSERT_TRUE(lock);
  ASSERT_EQ(::flock(lock->get(), LOCK_EX | LOCK_NB), 0);
  EXPECT_EQ(RemoveAbandonedTrees(dir.path()), 1u);
  EXPECT_FALSE(fs::exists(abandoned));
  for (const std::string& path : {in_use, other_name, young, with_data})
    EXPECT_TRUE(fs::exists(path)) << path;
}

TEST(CaptureDirectoriesTest, ItsOwnTreeIsLockedAndGoesWithIt) {
  const testing::TempDir dir;
  std::string path;
  {
    const auto tree = CaptureDirectories::Create({{dir.path() + "/p", dir.path() + "/i"}}, {});
    ASSERT_TRUE(tree) << tree.error().message;
    path = tree->path();
    EXPECT_EQ(fs::read_symlink(path + "/PKT0"), dir.path() + "/p");
    const auto other = OpenFile(path, O_RDONLY | O_DIRECTORY);
    ASSERT_TRUE(other);
    EXPECT_NE(::flock(other->get(), LOCK_EX | LOCK_NB), 0);
  }
  EXPECT_FALSE(fs::exists(path));
}

}  // namespace
}  // namespace steno
