#include <gtest/gtest.h>

#include <filesystem>

#include "fs/daemon/mount_point.h"

namespace dkfs {
namespace {

class OverlapTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "dkfs-overlap-XXXXXX";
    base_ = std::filesystem::canonical(::mkdtemp(pattern.data()));
    for (const char* dir : {"data", "store", "data/below"}) std::filesystem::create_directory(base_ + "/" + dir);
    std::filesystem::create_symlink(base_ + "/data", base_ + "/link");
  }
  void TearDown() override { std::filesystem::remove_all(base_); }
  std::string At(const std::string& name) { return base_ + "/" + name; }
  bool Overlaps(const std::string& dir, const std::string& store) {
    auto result = Overlap(At(dir), At(store));
    EXPECT_TRUE(result.ok()) << result.status().ToString();
    return result.ok() && *result;
  }
  std::string base_;
};

TEST_F(OverlapTest, SiblingsDoNotOverlap) {
  EXPECT_FALSE(Overlaps("data", "store"));
  EXPECT_FALSE(Overlaps("data", "data2"));
  EXPECT_FALSE(Overlaps("data", "store/new/deeper"));
}

TEST_F(OverlapTest, InsideEitherWayOverlaps) {
  EXPECT_TRUE(Overlaps("data", "data"));
  EXPECT_TRUE(Overlaps("data", "data/below"));
  EXPECT_TRUE(Overlaps("data/below", "data"));
  EXPECT_TRUE(Overlaps("data", "data/new/deeper"));
}

TEST_F(OverlapTest, OtherWaysToTheSameDirectoryOverlap) { EXPECT_TRUE(Overlaps("data", "link/new")); }

TEST_F(OverlapTest, MountPointIsResolvedThroughLinks) {
  EXPECT_EQ(At("data"), *ResolveMountPoint(At("link")));
  EXPECT_EQ(At("data"), *ResolveMountPoint(At("link/.")));
  EXPECT_EQ(At("data"), *ResolveMountPoint(At("store/../data//")));
  EXPECT_EQ(ENOENT, ResolveMountPoint(At("none")).code());
  EXPECT_EQ("/", *ResolveMountPoint("/"));
}

TEST_F(OverlapTest, LinksInACircleAreRefused) {
  std::filesystem::create_symlink(At("b"), At("a"));
  std::filesystem::create_symlink(At("a"), At("b"));
  EXPECT_EQ(ELOOP, ResolveMountPoint(At("a")).code());
}

TEST_F(OverlapTest, StoreNeedNotExist) {
  EXPECT_EQ(At("data/x/y"), *ResolveStore(At("link/x/y")));
  EXPECT_EQ(At("store"), *ResolveStore(At("store/")));
}

TEST(DefaultStoreTest, NamesAreEscapedLikeSystemdUnits) {
  EXPECT_EQ("/var/lib/dkfs/srv-data", DefaultStore("/srv/data"));
  EXPECT_EQ("/var/lib/dkfs/a\\x2db", DefaultStore("/a-b"));
  EXPECT_EQ("/var/lib/dkfs/\\x2ehidden", DefaultStore("/.hidden"));
  EXPECT_NE(DefaultStore("/a/b"), DefaultStore("/a-b"));
  std::string deep(5000, 'x');
  EXPECT_LE(DefaultStore("/" + deep + "1").size(), sizeof("/var/lib/dkfs/") + 255);
  EXPECT_NE(DefaultStore("/" + deep + "1"), DefaultStore("/" + deep + "2"));
}

}  // namespace
}  // namespace dkfs
