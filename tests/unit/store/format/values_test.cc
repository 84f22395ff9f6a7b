#include <gtest/gtest.h>

#include "tests/support/samples.h"

namespace dkfs {
namespace {

template <class Value>
void ExpectOnlyWhole(const std::string& whole) {
  Value out;
  EXPECT_TRUE(values::Decode(AsBytes(whole), &out).ok());
  for (size_t n = 0; n < whole.size(); ++n)
    EXPECT_TRUE(values::Decode(AsBytes(whole.substr(0, n)), &out).IsCorruption()) << n;
  EXPECT_TRUE(values::Decode(AsBytes(whole + "x"), &out).IsCorruption());
}

TEST(ValuesTest, BlockEntriesRoundTrip) {
  const uint64_t seed = test::TestSeed();
  test::Random random(seed);
  for (int i = 0; i < 2000; ++i) {
    const BlockEntry entry = test::AnyBlockEntry(&random);
    BlockEntry back;
    ASSERT_TRUE(values::Decode(AsBytes(values::Encode(entry)), &back).ok()) << "seed " << seed;
    ASSERT_EQ(back, entry) << "seed " << seed;
  }
}

TEST(ValuesTest, ReferencesAreNeverIndexed) {
  BlockEntry entry;
  entry.version.kind = BlockKind::kReference;
  BlockEntry back;
  EXPECT_TRUE(values::Decode(AsBytes(values::Encode(entry)), &back).IsCorruption());
  for (const char kind : {0, 6, 77}) {
    std::string text = values::Encode(BlockEntry{});
    text[0] = kind;
    EXPECT_TRUE(values::Decode(AsBytes(text), &back).IsCorruption()) << kind;
  }
}

TEST(ValuesTest, OthersRoundTrip) {
  RangeItem range;
  ASSERT_TRUE(values::Decode(AsBytes(values::Encode(RangeItem{FileId{1}, LayoutId{2}, 3, kEndOfFile})), &range).ok());
  EXPECT_EQ(std::tuple(range.layout.value, range.first, range.end), std::tuple(2u, 3u, kEndOfFile));
  NameValue name;
  ASSERT_TRUE(values::Decode(AsBytes(values::Encode(NameValue{FileId{7}, EntryId{16}, 4})), &name).ok());
  EXPECT_EQ(std::tuple(name.child.value, name.entry.value, name.type), std::tuple(7u, 16u, 4));
  EntryValue entry;
  ASSERT_TRUE(values::Decode(AsBytes(values::Encode(EntryValue{FileId{7}, 8, "file name"})), &entry).ok());
  EXPECT_EQ(std::tuple(entry.child.value, entry.type, entry.name), std::tuple(7u, 8, "file name"));
  MomentValue moment;
  ASSERT_TRUE(
      values::Decode(AsBytes(values::Encode(MomentValue{{-5, 999'999'999}, SegmentId{4}, 4096})), &moment).ok());
  EXPECT_EQ(std::tuple(moment.time, moment.segment.value, moment.offset),
            std::tuple(TimeSpec{-5, 999'999'999}, 4u, 4096u));
  SegmentValue segment;
  ASSERT_TRUE(values::Decode(AsBytes(values::Encode(SegmentValue{2, Seq{3}, Seq{9}, 1 << 20})), &segment).ok());
  EXPECT_EQ(std::tuple(segment.kind, segment.first.value, segment.last.value, segment.bytes),
            std::tuple(2u, 3u, 9u, 1u << 20));
  const Fingerprint print{11, 12, {13, 14}, {15, 16}};
  Fingerprint back;
  ASSERT_TRUE(values::Decode(AsBytes(values::Encode(print)), &back).ok());
  EXPECT_EQ(back, print);
}

TEST(ValuesTest, TombstonesOfEntriesNeedNoName) {
  EntryValue entry;
  EXPECT_TRUE(values::Decode(AsBytes(values::Encode(EntryValue{})), &entry).ok());
  EXPECT_TRUE(values::Decode(AsBytes(values::Encode(EntryValue{FileId{7}, 8, ""})), &entry).IsCorruption());
  EXPECT_TRUE(values::Decode(AsBytes(values::Encode(EntryValue{FileId{7}, 8, "../x"})), &entry).IsCorruption());
}

TEST(ValuesTest, ValuesOfAnotherLengthAreDamage) {
  BlockEntry delta;
  delta.version.kind = BlockKind::kDelta;
  ExpectOnlyWhole<BlockEntry>(values::Encode(delta));
  ExpectOnlyWhole<BlockEntry>(values::Encode(BlockEntry{}));
  ExpectOnlyWhole<RangeItem>(values::Encode(RangeItem{}));
  ExpectOnlyWhole<NameValue>(values::Encode(NameValue{}));
  ExpectOnlyWhole<MomentValue>(values::Encode(MomentValue{}));
  ExpectOnlyWhole<SegmentValue>(values::Encode(SegmentValue{}));
  ExpectOnlyWhole<Fingerprint>(values::Encode(Fingerprint{}));
}

}  // namespace
}  // namespace dkfs
