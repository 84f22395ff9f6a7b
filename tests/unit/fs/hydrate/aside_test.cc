#include "fs/hydrate/aside.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace dkfs {
namespace {

namespace stdfs = std::filesystem;

class AsideTest : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = ::testing::TempDir() + "aside-XXXXXX";
    ASSERT_NE(::mkdtemp(root_.data()), nullptr);
    stdfs::create_directories(root_ + "/dir/a");
    stdfs::create_directory(root_ + "/store");
    backing_ =
        std::make_unique<Backing>(UniqueFd(::open((root_ + "/dir").c_str(), O_RDONLY | O_DIRECTORY)), root_ + "/dir");
  }
  void TearDown() override { stdfs::remove_all(root_); }
  void Put(const std::string& path, const std::string& content) { std::ofstream(root_ + "/dir/" + path) << content; }
  static std::string Slurp(const stdfs::path& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  stdfs::path OnlySet(const std::string& place) {
    stdfs::directory_iterator it(place);
    return it->path();
  }

  std::string root_;
  std::unique_ptr<Backing> backing_;
};

TEST_F(AsideTest, NamesMoveIntoTheStoreAndNeverReplaceEachOther) {
  Aside aside(backing_.get(), root_ + "/store", 1 << 20);
  Put("a/f", "first");
  ASSERT_TRUE(aside.MoveName("a/f").ok());
  Put("a/f", "second");
  ASSERT_TRUE(aside.MoveName("a/f").ok());
  const stdfs::path set = OnlySet(root_ + "/store/aside");
  EXPECT_EQ(Slurp(set / "a/f"), "first");
  EXPECT_EQ(Slurp(set / "a/f~1"), "second");
  EXPECT_EQ(aside.MoveName("a/f").code(), ENOENT);
  EXPECT_EQ(aside.entries(), 2u);
}

TEST_F(AsideTest, WithoutTheStoreNearbyASiblingOfTheDirectoryTakesThem) {
  Aside aside(backing_.get(), "/proc/self", 1 << 20);
  Put("f", "x");
  ASSERT_TRUE(aside.MoveName("f").ok());
  EXPECT_EQ(Slurp(OnlySet(root_ + "/.dir.dkfs-aside") / "f"), "x");
  ASSERT_EQ(aside.List()->size(), 1u);
  EXPECT_EQ(aside.List()->front().entries, 1u);
  EXPECT_EQ(aside.Remove("nothing").code(), ENOENT);
  EXPECT_EQ(aside.Remove("../dir").code(), EINVAL);
  ASSERT_TRUE(aside.Remove(aside.List()->front().time).ok());
  EXPECT_TRUE(aside.List()->empty());
}

// Whoever may write in the directory above DIR could else have what is moved aside.
TEST_F(AsideTest, WhatOthersMadeInThePlaceOfTheSiblingIsPassedOver) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to make what belongs to somebody else";
  const std::string sibling = root_ + "/.dir.dkfs-aside";
  stdfs::create_directory(sibling);
  stdfs::permissions(sibling, stdfs::perms::all);
  ASSERT_EQ(::chown(sibling.c_str(), 4711, 4711), 0);
  for (const bool link : {false, true}) {
    if (link) {
      stdfs::rename(sibling, sibling + ".away");
      stdfs::create_directory_symlink(sibling + ".away", sibling);
    }
    Aside aside(backing_.get(), "/proc/self", 1 << 20);
    Put("f", "x");
    ASSERT_TRUE(aside.MoveName("f").ok());
    ASSERT_TRUE(aside.CopyBytes("g", 0, AsBytes("y")).ok());
    EXPECT_TRUE(stdfs::is_empty(sibling));
    EXPECT_EQ(Slurp(OnlySet(root_ + "/dir/.dkfs-partial/aside") / "f"), "x");
    ASSERT_EQ(aside.List()->size(), 1u);
    EXPECT_TRUE(aside.Remove("").ok());
  }
}

TEST_F(AsideTest, BytesAreKeptAtTheirPlaceWithinTheBudget) {
  Aside aside(backing_.get(), root_ + "/store", 10'000);
  const std::string data(4096, 'd');
  ASSERT_TRUE(aside.CopyBytes("a/f", 1 << 20, AsBytes(data)).ok());
  ASSERT_TRUE(aside.CopyBytes("a/f", 8192, AsBytes(data)).ok());
  EXPECT_EQ(aside.CopyBytes("a/f", 0, AsBytes(data)).code(), Aside::kOverBudget);
  const std::string kept = Slurp(OnlySet(root_ + "/store/aside") / "a/f");
  EXPECT_EQ(kept.size(), (1u << 20) + 4096);
  EXPECT_EQ(kept.substr(8192, 4096), data);
  EXPECT_EQ(kept.substr(0, 4096), std::string(4096, '\0'));
}

TEST_F(AsideTest, WhatComesAfterARemovalIsKeptInASetOfItsOwn) {
  Aside aside(backing_.get(), root_ + "/store", 10'000);
  const std::string data(8192, 'd');
  ASSERT_TRUE(aside.CopyBytes("f", 0, AsBytes(data)).ok());
  const std::string first = aside.List()->front().time;
  ASSERT_TRUE(aside.Remove(first).ok());
  EXPECT_FALSE(stdfs::exists(root_ + "/store/aside"));
  ASSERT_TRUE(aside.CopyBytes("f", 8192, AsBytes(data)).ok());  // within the budget again
  Put("g", "name");
  ASSERT_TRUE(aside.MoveName("g").ok());
  EXPECT_EQ(aside.Remove(first).code(), ENOENT);
  const std::vector<Aside::Set> sets = aside.List().value();
  ASSERT_EQ(sets.size(), 1u);
  EXPECT_THAT(sets[0].paths, ::testing::UnorderedElementsAre("f", "g"));
  EXPECT_EQ(Slurp(OnlySet(root_ + "/store/aside") / "f").substr(8192), data);
  ASSERT_TRUE(aside.Remove("").ok());
  ASSERT_TRUE(aside.CopyBytes("f", 0, AsBytes(data)).ok());
  EXPECT_EQ(aside.List()->size(), 1u);
}

TEST_F(AsideTest, AFileMovedBeforeNeverStandsInTheWayOfADirectory) {
  Aside aside(backing_.get(), root_ + "/store", 10'000);
  Put("x", "file");
  ASSERT_TRUE(aside.MoveName("x").ok());
  stdfs::create_directory(root_ + "/dir/x");
  Put("x/y", "below");
  ASSERT_TRUE(aside.MoveName("x/y").ok());
  EXPECT_EQ(Slurp(OnlySet(root_ + "/store/aside") / "x~1/y"), "below");
}

}  // namespace
}  // namespace dkfs
