#include "fs/daemon/mountinfo.h"

#include <gtest/gtest.h>

namespace dkfs {
namespace {

constexpr const char* kTable =
    "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/root rw\n"
    "36 22 98:0 /sub/tree /mnt rw,noatime master:1 shared:7 - ext3 /dev/sdb rw,errors=continue\n"
    "40 22 0:50 / /srv/my\\040data rw,relatime - fuse.dkfs /var/lib/dkfs/a\\011b rw,user_id=0\n"
    "41 40 0:51 / /srv/my\\040data rw - fuse.dkfs /second rw\n"
    "42 22 0:52 / /empty rw - tmpfs  rw\n"
    "garbage\n"
    "43 22 0:53 / /short\n";

TEST(MountInfoTest, LinesAreParsedWithAnyNumberOfOptionalFields) {
  auto mounts = ParseMountInfo(kTable);
  ASSERT_EQ(5u, mounts.size());
  EXPECT_EQ("8:1", mounts[0].device);
  EXPECT_EQ("/sub/tree", mounts[1].root);
  EXPECT_EQ("/mnt", mounts[1].mount_point);
  EXPECT_EQ("ext3", mounts[1].type);
  EXPECT_EQ("/dev/sdb", mounts[1].source);
  EXPECT_EQ("rw,noatime", mounts[1].options);
}

TEST(MountInfoTest, EscapesAreUndone) {
  auto mounts = ParseMountInfo(kTable);
  EXPECT_EQ("/srv/my data", mounts[2].mount_point);
  EXPECT_EQ("/var/lib/dkfs/a\tb", mounts[2].source);
}

TEST(MountInfoTest, LaterMountCoversEarlier) {
  auto mount = MountAt(ParseMountInfo(kTable), "/srv/my data");
  ASSERT_TRUE(mount);
  EXPECT_EQ("/second", mount->source);
  EXPECT_FALSE(MountAt(ParseMountInfo(kTable), "/srv"));
}

TEST(MountInfoTest, PathLiesInItsDeepestMount) {
  auto mounts = ParseMountInfo(kTable);
  EXPECT_EQ("/", MountOf(mounts, "/srv/my")->mount_point);
  EXPECT_EQ("/mnt", MountOf(mounts, "/mnt/x")->mount_point);
  EXPECT_EQ("/", MountOf(mounts, "/mntx")->mount_point);
}

TEST(MountInfoTest, BelowMeansByWholeNames) {
  EXPECT_TRUE(IsBelow("/a/b", "/a"));
  EXPECT_TRUE(IsBelow("/a", "/a"));
  EXPECT_TRUE(IsBelow("/a", "/"));
  EXPECT_FALSE(IsBelow("/ab", "/a"));
  EXPECT_FALSE(IsBelow("/a", "/a/b"));
}

TEST(MountInfoTest, OwnTableIsRead) {
  auto mounts = ReadMountInfo();
  ASSERT_TRUE(mounts.ok()) << mounts.status().ToString();
  EXPECT_TRUE(MountOf(*mounts, "/proc/self"));
}

}  // namespace
}  // namespace dkfs
