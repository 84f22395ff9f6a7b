#include "store/format/record.h"

#include <gtest/gtest.h>

#include <cstring>

#include "store/base/hash.h"
#include "tests/support/samples.h"

namespace dkfs {
namespace {

constexpr uint64_t kSalt = 0x5a17;
using HeaderBytes = std::array<std::byte, kRecordHeaderBytes>;

RecordHeader Plain() {
  RecordHeader h;
  h.stored_bytes = h.body_bytes = 100;
  h.length = 184;
  h.seq = Seq{9};
  return h;
}

// The header with bytes changed and its checksum made to match again.
template <class T>
HeaderBytes With(size_t at, T value) {
  HeaderBytes bytes = EncodeRecordHeader(Plain(), kSalt);
  std::memcpy(bytes.data() + at, &value, sizeof value);
  const uint64_t checksum = Hash64(Bytes(bytes).first(72), kSalt);
  std::memcpy(bytes.data() + 72, &checksum, sizeof checksum);
  return bytes;
}

int CodeOf(Bytes bytes, uint64_t salt = kSalt) {
  RecordHeader out;
  return DecodeRecordHeader(bytes, salt, &out).code();
}

TEST(RecordHeaderTest, RoundTrips) {
  const uint64_t seed = test::TestSeed();
  test::Random random(seed);
  for (int i = 0; i < 2000; ++i) {
    const RecordHeader header = test::AnyRecordHeader(&random);
    const uint64_t salt = random.Next();
    RecordHeader back;
    const Status status = DecodeRecordHeader(EncodeRecordHeader(header, salt), salt, &back);
    ASSERT_TRUE(status.ok()) << status.ToString() << " seed " << seed;
    ASSERT_EQ(back, header) << "seed " << seed;
  }
}

TEST(RecordHeaderTest, OfAnotherLifeOfTheSegmentIsNoRecord) {
  const HeaderBytes bytes = EncodeRecordHeader(Plain(), kSalt);
  EXPECT_EQ(CodeOf(bytes), 0);
  EXPECT_EQ(CodeOf(bytes, kSalt + 1), EUCLEAN);
}

TEST(RecordHeaderTest, EveryFlippedBitIsSeen) {
  HeaderBytes bytes = EncodeRecordHeader(Plain(), kSalt);
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    bytes[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
    EXPECT_EQ(CodeOf(bytes), EUCLEAN) << "bit " << bit;
    bytes[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
  }
}

TEST(RecordHeaderTest, CutShortIsDamageAndMoreBytesAreNotRead) {
  const HeaderBytes bytes = EncodeRecordHeader(Plain(), kSalt);
  for (size_t n = 0; n < bytes.size(); ++n) EXPECT_EQ(CodeOf(Bytes(bytes).first(n)), EUCLEAN) << n;
  std::string longer(AsString(bytes));
  longer += "body";
  EXPECT_EQ(CodeOf(AsBytes(longer)), 0);
}

TEST(RecordHeaderTest, ZerosAreNoRecord) { EXPECT_EQ(CodeOf(HeaderBytes{}, 0), EUCLEAN); }

TEST(RecordHeaderTest, NewerVersionsAreRefusedByName) {
  EXPECT_EQ(CodeOf(With<uint16_t>(4, 2)), ENOTSUP);
  EXPECT_EQ(CodeOf(With<uint16_t>(4, 0)), EUCLEAN);
  EXPECT_EQ(CodeOf(With<uint16_t>(6, 0x04)), ENOTSUP) << "an unknown flag that changes how the body is read";
  EXPECT_EQ(CodeOf(With<uint16_t>(6, 0x0100)), 0) << "an unknown flag that may be ignored";
}

TEST(RecordHeaderTest, ABodyIsCompressedInOneWay) {
  EXPECT_EQ(CodeOf(With<uint16_t>(6, kRecordZstd)), 0);
  EXPECT_EQ(CodeOf(With<uint16_t>(6, kRecordLz4)), 0);
  EXPECT_EQ(CodeOf(With<uint16_t>(6, kRecordZstd | kRecordLz4)), EUCLEAN);
}

TEST(RecordHeaderTest, LengthsThatDoNotFitAreDamageEvenWithAGoodChecksum) {
  EXPECT_EQ(CodeOf(With<uint32_t>(8, 176)), EUCLEAN);
  EXPECT_EQ(CodeOf(With<uint32_t>(8, 192)), EUCLEAN);
  EXPECT_EQ(CodeOf(With<uint32_t>(12, 101)), EUCLEAN) << "stored is not the body of an uncompressed record";
  EXPECT_EQ(CodeOf(With<uint32_t>(12, 0xffffffff)), EUCLEAN);
  EXPECT_EQ(CodeOf(With<uint32_t>(16, 99)), EUCLEAN);
  EXPECT_EQ(CodeOf(With<uint32_t>(56, 1'000'000'000)), EUCLEAN) << "nanoseconds";
}

TEST(RecordHeaderTest, RecordsBeyondTheLimitAreDamage) {
  RecordHeader h = Plain();
  h.stored_bytes = h.body_bytes = static_cast<uint32_t>(kMaxRecordBytes);
  h.length = static_cast<uint32_t>(kMaxRecordBytes + kRecordHeaderBytes);
  EXPECT_EQ(CodeOf(EncodeRecordHeader(h, kSalt)), EUCLEAN);
}

TEST(RecordBodyTest, ChecksumCoversEveryByteAndTheLength) {
  std::string body = "some record body";
  RecordHeader h;
  h.stored_bytes = static_cast<uint32_t>(body.size());
  h.body_checksum = Hash64(AsBytes(body));
  EXPECT_TRUE(CheckRecordBody(h, AsBytes(body)).ok());
  EXPECT_TRUE(CheckRecordBody(h, AsBytes(body).first(5)).IsCorruption());
  for (char& c : body) {
    c ^= 1;
    EXPECT_TRUE(CheckRecordBody(h, AsBytes(body)).IsCorruption());
    c ^= 1;
  }
}

}  // namespace
}  // namespace dkfs
