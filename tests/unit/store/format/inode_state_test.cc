#include "store/format/inode_state.h"

#include <gtest/gtest.h>

#include "tests/support/samples.h"

namespace dkfs {
namespace {

std::string Encoded(const InodeState& state) {
  std::string out;
  EncodeInodeState(state, &out);
  return out;
}

Status Decoded(const std::string& text, InodeState* out) { return DecodeInodeState(AsBytes(text), out); }

TEST(InodeStateTest, RoundTrips) {
  const uint64_t seed = test::TestSeed();
  test::Random random(seed);
  for (int i = 0; i < 2000; ++i) {
    const InodeState state = test::AnyInodeState(&random);
    InodeState back;
    ASSERT_TRUE(Decoded(Encoded(state), &back).ok()) << "seed " << seed;
    ASSERT_EQ(back, state) << "seed " << seed;
  }
}

TEST(InodeStateTest, AnOrdinaryFileTakesEightyBytes) { EXPECT_EQ(Encoded(InodeState{}).size(), 80u); }

TEST(InodeStateTest, AnyOtherLengthIsDamage) {
  const uint64_t seed = test::TestSeed();
  test::Random random(seed);
  const std::string whole = Encoded(test::AnyInodeState(&random));
  InodeState out;
  for (size_t n = 0; n < whole.size(); ++n) EXPECT_TRUE(Decoded(whole.substr(0, n), &out).IsCorruption()) << n;
  EXPECT_TRUE(Decoded(whole + "x", &out).IsCorruption());
}

TEST(InodeStateTest, FieldsOutOfRangeAreDamage) {
  const auto damaged = [](size_t at, char value) {
    std::string text = Encoded(InodeState{});
    text[at] = value;
    InodeState out;
    return Decoded(text, &out).IsCorruption();
  };
  EXPECT_TRUE(damaged(35, '\x7f')) << "nanoseconds beyond a second";
  EXPECT_TRUE(damaged(72, 0)) << "layout 0";
  EXPECT_TRUE(damaged(76, 11)) << "block shift below 12";
  EXPECT_TRUE(damaged(76, 21)) << "block shift above 20";
  EXPECT_TRUE(damaged(77, 2)) << "unknown content state";
  EXPECT_FALSE(damaged(79, '\xff')) << "any byte is a policy";
}

TEST(InodeStateTest, EveryPolicyRoundTripsInItsByte) {
  for (int byte = 0; byte < 256; ++byte) {
    InodeState state;
    state.policy = PolicyOf(static_cast<uint8_t>(byte));
    ASSERT_TRUE(IsSpelled(state.policy)) << byte;
    const std::string text = Encoded(state);
    EXPECT_EQ(byte & 0x3f, static_cast<uint8_t>(text[79]));
    InodeState back;
    ASSERT_TRUE(Decoded(text, &back).ok());
    EXPECT_EQ(state, back);
  }
  EXPECT_EQ(CapturePolicy(), PolicyOf(0)) << "what stores without policies hold";
  EXPECT_FALSE(IsSpelled({true, 2, 24}));
}

TEST(InodeStateTest, FieldsOfANewerVersionAreRefused) {
  std::string text = Encoded(InodeState{});
  text[78] = 0x10;
  InodeState out;
  EXPECT_EQ(Decoded(text, &out).code(), ENOTSUP);
}

}  // namespace
}  // namespace dkfs
