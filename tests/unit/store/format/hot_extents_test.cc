#include "store/format/hot_extents.h"

#include <gtest/gtest.h>

namespace dkfs {
namespace {

TEST(HotExtentsTest, AreReadAsTheyWereWritten) {
  const std::vector<HotExtent> extents = {{FileId{7}, 3, 900, 5}, {FileId{~0ull}, (~0ull) >> kHotExtentShift, ~0ull}};
  const auto read = DecodeHotExtents(EncodeHotExtents(extents));
  ASSERT_TRUE(read.ok()) << read.status().ToString();
  EXPECT_EQ(extents, *read);
  EXPECT_TRUE(DecodeHotExtents(EncodeHotExtents({}))->empty());
}

TEST(HotExtentsTest, AtMostSoMany) {
  const std::vector<HotExtent> extents(kMaxHotExtents + 5, HotExtent{FileId{1}, 2, 3});
  const std::string text = EncodeHotExtents(extents);
  EXPECT_EQ(kMaxHotExtents, DecodeHotExtents(text)->size());
  EXPECT_TRUE(DecodeHotExtents(text + "1 2 3 4\n").status().IsCorruption());
}

TEST(HotExtentsTest, LinesOfLaterVersionsArePassedOver) {
  const auto read = DecodeHotExtents("dkfs hot 2\nsince 12\n1 2 3 4\nend\n");
  ASSERT_TRUE(read.ok()) << read.status().ToString();
  EXPECT_EQ(1u, read->size());
  EXPECT_TRUE(DecodeHotExtents("dkfs hot 1\nunended").ok());
}

TEST(HotExtentsTest, OfTheFirstVersionAllPagesAreHot) {
  const auto read = DecodeHotExtents("dkfs hot 1\n1 2 3\n");
  ASSERT_TRUE(read.ok()) << read.status().ToString();
  EXPECT_EQ((std::vector<HotExtent>{{FileId{1}, 2, 3, ~0ull}}), *read);
}

TEST(HotExtentsTest, WhatIsNotUnderstoodIsDamage) {
  const std::string whole = EncodeHotExtents({{FileId{7}, 3, 900}});
  for (const std::string text :
       {"", "dkfs", "dkfs hot 1", "dkfs hot x\n", "dkfs hot 1\n1 2\n", "dkfs hot 1\n1 2 3", "dkfs hot 1\n1 2 -3\n",
        "dkfs hot 1\n1 2 3 4\n", "dkfs hot 1\n\n", "dkfs hot 2\n1 2 3\n", "dkfs hot 2\n1 2 3 4 5\n",
        "dkfs hot 2\n1 2 3 -4\n", "dkfs hot 1\n1 99999999999999999 3\n", "dkfs hot 1\n99999999999999999999999 2 3\n"}) {
    EXPECT_TRUE(DecodeHotExtents(text).status().IsCorruption()) << text;
  }
  for (size_t cut = 0; cut < whole.size(); ++cut) {
    const auto read = DecodeHotExtents(whole.substr(0, cut));
    EXPECT_TRUE(!read.ok() || read->empty()) << cut;
  }
  EXPECT_EQ(ENOTSUP, DecodeHotExtents("dkfs hot 3\n").status().code());
}

}  // namespace
}  // namespace dkfs
