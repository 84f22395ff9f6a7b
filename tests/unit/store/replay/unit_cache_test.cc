#include "store/replay/unit_cache.h"

#include <gtest/gtest.h>

namespace dkfs {
namespace {

Location At(uint32_t n) { return {SegmentId{1 + n % 3}, n, 0}; }

UnitCache::Ref UnitOf(size_t bytes) {
  return std::make_shared<DecodedUnit>(DecodedUnit{0, std::vector<std::byte>(bytes)});
}

TEST(UnitCacheTest, SmallUnitsOfAWholeRegionAreKept) {
  UnitCache cache;
  for (uint32_t n = 0; n < 1024; ++n) cache.Insert(At(n), UnitOf(4096));
  for (uint32_t n = 0; n < 1024; ++n) EXPECT_NE(cache.Find(At(n)), nullptr) << n;
}

TEST(UnitCacheTest, BytesAreBounded) {
  constexpr uint32_t kFits = UnitCache::kMostBytes >> 20;
  UnitCache cache;
  for (uint32_t n = 0; n < kFits; ++n) cache.Insert(At(n), UnitOf(1 << 20));
  EXPECT_NE(cache.Find(At(0)), nullptr);  // used last
  cache.Insert(At(kFits), UnitOf(1));
  EXPECT_NE(cache.Find(At(0)), nullptr);
  EXPECT_EQ(cache.Find(At(1)), nullptr);
  EXPECT_NE(cache.Find(At(2)), nullptr);
}

TEST(UnitCacheTest, EmptyUnitsAreBoundedToo) {
  UnitCache cache;
  for (uint32_t n = 0; n <= UnitCache::kMostUnits; ++n) cache.Insert(At(n), UnitOf(0));
  EXPECT_EQ(cache.Find(At(0)), nullptr);
  EXPECT_NE(cache.Find(At(1)), nullptr);
}

TEST(UnitCacheTest, OneThatIsThereCountsOnce) {
  UnitCache cache;
  const UnitCache::Ref first = UnitOf(1 << 20);
  cache.Insert(At(0), first);
  for (uint32_t n = 0; n < 100; ++n) cache.Insert(At(1), UnitOf(1 << 20));
  EXPECT_EQ(cache.Find(At(0)), first);
}

}  // namespace
}  // namespace dkfs
