#include "store/base/bytes.h"

#include <gtest/gtest.h>

#include "tests/support/random.h"

namespace dkfs {
namespace {

TEST(BytesTest, LittleAndBigEndianReadBackWhatWasPut) {
  std::string out;
  PutLe<uint32_t>(&out, 0x01020304);
  PutBe<uint32_t>(&out, 0x01020304);
  EXPECT_EQ(out, std::string("\x04\x03\x02\x01\x01\x02\x03\x04", 8));
  EXPECT_EQ(LoadLe<uint32_t>(out.data()), 0x01020304u);
  EXPECT_EQ(LoadBe<uint32_t>(out.data() + 4), 0x01020304u);
}

TEST(BytesTest, BigEndianKeepsTheOrderOfNumbers) {
  const uint64_t seed = test::TestSeed();
  test::Random random(seed);
  for (int i = 0; i < 10000; ++i) {
    const uint64_t a = random.Magnitude();
    const uint64_t b = random.Magnitude();
    std::string left, right;
    PutBe(&left, a);
    PutBe(&right, b);
    ASSERT_EQ(a < b, left < right) << "seed " << seed;
  }
}

TEST(ByteReaderTest, PastTheEndItTurnsBadForGood) {
  const std::string text = "abc";
  ByteReader reader(AsBytes(text));
  EXPECT_EQ(reader.Le<uint16_t>(), 0x6261);
  EXPECT_TRUE(reader.ok());
  EXPECT_EQ(reader.Le<uint16_t>(), 0);
  EXPECT_FALSE(reader.ok());
  EXPECT_EQ(reader.Le<uint8_t>(), 0) << "the byte left over is not given out any more";
  EXPECT_TRUE(reader.Take(0).empty());
  EXPECT_FALSE(reader.ok());
}

TEST(BytesTest, AllZeroSeesEverySingleByte) {
  for (size_t size = 0; size < 70; ++size) {
    std::string text(size, '\0');
    EXPECT_TRUE(IsAllZero(AsBytes(text))) << size;
    for (size_t i = 0; i < size; ++i) {
      text[i] = 1;
      EXPECT_FALSE(IsAllZero(AsBytes(text))) << i << " of " << size;
      text[i] = 0;
    }
  }
}

TEST(BytesTest, RoundsToUnits) {
  EXPECT_EQ(RoundUp(0, 8), 0u);
  EXPECT_EQ(RoundUp(1, 8), 8u);
  EXPECT_EQ(RoundUp(8, 8), 8u);
  EXPECT_EQ(RoundDown(15, 8), 8u);
}

}  // namespace
}  // namespace dkfs
