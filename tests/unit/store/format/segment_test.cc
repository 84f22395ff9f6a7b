#include "store/format/segment.h"

#include <gtest/gtest.h>

#include <cstring>

#include "store/base/hash.h"
#include "tests/support/samples.h"

namespace dkfs {
namespace {

using HeaderBytes = std::array<std::byte, kSegmentHeaderBytes>;

SegmentHeader Plain() {
  SegmentHeader h;
  h.id = SegmentId{3};
  return h;
}

template <class T>
int CodeWith(size_t at, T value) {
  HeaderBytes bytes = EncodeSegmentHeader(Plain());
  std::memcpy(bytes.data() + at, &value, sizeof value);
  const uint64_t checksum = Hash64(Bytes(bytes).first(4088));
  std::memcpy(bytes.data() + 4088, &checksum, sizeof checksum);
  SegmentHeader out;
  return DecodeSegmentHeader(bytes, &out).code();
}

TEST(SegmentHeaderTest, RoundTrips) {
  const uint64_t seed = test::TestSeed();
  test::Random random(seed);
  for (int i = 0; i < 500; ++i) {
    const SegmentHeader header = test::AnySegmentHeader(&random);
    SegmentHeader back;
    const Status status = DecodeSegmentHeader(EncodeSegmentHeader(header), &back);
    ASSERT_TRUE(status.ok()) << status.ToString() << " seed " << seed;
    ASSERT_EQ(back, header) << "seed " << seed;
  }
}

TEST(SegmentHeaderTest, AFlippedBitAnywhereIsSeen) {
  HeaderBytes bytes = EncodeSegmentHeader(Plain());
  SegmentHeader out;
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] ^= static_cast<std::byte>(1 << i % 8);
    ASSERT_TRUE(DecodeSegmentHeader(bytes, &out).IsCorruption()) << "byte " << i;
    bytes[i] ^= static_cast<std::byte>(1 << i % 8);
  }
}

TEST(SegmentHeaderTest, CutShortIsDamage) {
  const HeaderBytes bytes = EncodeSegmentHeader(Plain());
  SegmentHeader out;
  for (size_t n : {size_t{0}, size_t{1}, size_t{8}, size_t{104}, size_t{4095}}) {
    EXPECT_TRUE(DecodeSegmentHeader(Bytes(bytes).first(n), &out).IsCorruption()) << n;
  }
}

TEST(SegmentHeaderTest, NewerVersionsAndUnknownFeaturesAreRefused) {
  EXPECT_EQ(CodeWith<uint32_t>(8, kFormatVersion + 1), ENOTSUP);
  EXPECT_EQ(CodeWith<uint64_t>(80, 1), ENOTSUP);
  EXPECT_EQ(CodeWith<uint64_t>(88, 1), 0) << "features that may be ignored";
}

TEST(SegmentHeaderTest, FieldsOutOfRangeAreDamageEvenWithAGoodChecksum) {
  EXPECT_EQ(CodeWith<uint32_t>(8, 0), EUCLEAN) << "version";
  EXPECT_EQ(CodeWith<uint32_t>(12, 3), EUCLEAN) << "kind";
  EXPECT_EQ(CodeWith<uint64_t>(48, 0), EUCLEAN) << "id";
  EXPECT_EQ(CodeWith<uint32_t>(96, 401), EUCLEAN) << "sources";
}

TEST(SegmentNameTest, NamesRoundTripAndSortByNumber) {
  EXPECT_EQ(SegmentName(SegmentId{1}, SegmentKind::kJournal), "0000000000000001.seg");
  EXPECT_EQ(SegmentName(SegmentId{0xabc}, SegmentKind::kPack), "0000000000000abc.pack");
  for (const SegmentKind kind : {SegmentKind::kJournal, SegmentKind::kPack}) {
    SegmentId id;
    SegmentKind parsed{};
    ASSERT_TRUE(ParseSegmentName(SegmentName(SegmentId{UINT64_MAX}, kind), &id, &parsed).ok());
    EXPECT_EQ(id.value, UINT64_MAX);
    EXPECT_EQ(parsed, kind);
  }
}

TEST(SegmentNameTest, OtherNamesAreNotSegments) {
  SegmentId id;
  SegmentKind kind{};
  for (const char* name : {"", "LOCK", "0000000000000001", "0000000000000001.tmp", "0000000000000001.seg.tmp", "1.seg",
                           "000000000000000G.seg", "000000000000000A.seg", "0000000000000000.seg",
                           "00000000000000001.seg", "-000000000000001.seg"}) {
    EXPECT_EQ(ParseSegmentName(name, &id, &kind).code(), ENOENT) << name;
  }
}

TEST(SegmentNameTest, UuidTextIsTheUsualForm) {
  Uuid uuid;
  for (size_t i = 0; i < uuid.size(); ++i) uuid[i] = static_cast<std::byte>(i * 17);
  EXPECT_EQ(UuidText(uuid), "00112233-4455-6677-8899-aabbccddeeff");
}

}  // namespace
}  // namespace dkfs
