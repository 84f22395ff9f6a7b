#include "store/retain/pins.h"

#include <gtest/gtest.h>

namespace dkfs::retain {
namespace {

TEST(PinsTest, APackIsOverdueWithItsLastPinOverTheBudgetWithItsFirst) {
  constexpr SegmentId kPack{7};
  Pins pins;
  KvBatch batch;
  pins.Add(kPack, {{FileId{2}, Seq{10}}, {FileId{3}, Seq{20}}}, &batch);
  for (const bool at_once : {false, true}) {
    EXPECT_FALSE(pins.IsOverdue(kPack, Seq{10}, at_once));
    EXPECT_EQ(pins.IsOverdue(kPack, Seq{11}, at_once), at_once);
    EXPECT_TRUE(pins.IsOverdue(kPack, Seq{21}, at_once));
    EXPECT_FALSE(pins.IsOverdue(SegmentId{8}, Seq{21}, at_once));
  }
}

}  // namespace
}  // namespace dkfs::retain
