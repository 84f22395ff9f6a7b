#include <gtest/gtest.h>

#include "store/codec/codec.h"
#include "tests/support/random.h"

namespace dkfs::codec {
namespace {

MutableBytes Room(std::string* text) { return {reinterpret_cast<std::byte*>(text->data()), text->size()}; }

std::string Delta(const std::string& base, const std::string& now) {
  std::string out;
  const Status status = RsyncDelta(AsBytes(base), AsBytes(now), &out);
  EXPECT_TRUE(status.ok()) << status.ToString();
  return out;
}

void ExpectRoundTrip(const std::string& base, const std::string& now, uint64_t seed) {
  std::string back(now.size(), '\0');
  const Status status = RsyncPatch(AsBytes(base), AsBytes(Delta(base, now)), Room(&back));
  ASSERT_TRUE(status.ok()) << status.ToString() << " seed " << seed;
  ASSERT_EQ(back, now) << "seed " << seed;
}

TEST(RsyncTest, AnyChangeRoundTrips) {
  const uint64_t seed = test::TestSeed();
  test::Random random(seed);
  for (int i = 0; i < 200; ++i) {
    const std::string base = random.Text(random.Below(random.OneIn(10) ? 300'000 : 5000));
    std::string now = base;
    for (uint64_t left = random.Below(4); left > 0; --left) now = test::Mutate(&random, now);
    ExpectRoundTrip(base, now, seed);
  }
}

TEST(RsyncTest, EmptySidesAndUnrelatedContentRoundTrip) {
  test::Random random(1);
  const std::string text = random.Text(10'000);
  ExpectRoundTrip("", "", 1);
  ExpectRoundTrip("", text, 1);
  ExpectRoundTrip(text, "", 1);
  ExpectRoundTrip(text, random.Text(12'345), 1);
  ExpectRoundTrip(text, text, 1);
}

TEST(RsyncTest, ShiftedContentCostsLittle) {
  test::Random random(2);
  const std::string base = random.Text(1 << 20);
  std::string now = base;
  now.insert(5000, "three small words");
  now.erase(700'000, 100);
  now.resize(1 << 20);
  const std::string delta = Delta(base, now);
  EXPECT_LT(delta.size(), 8000u);
  ExpectRoundTrip(base, now, 2);
}

TEST(RsyncTest, AppendsToWhatIsThere) {
  std::string out = "front";
  ASSERT_TRUE(RsyncDelta(AsBytes("base"), AsBytes("now"), &out).ok());
  EXPECT_EQ(out, "front" + Delta("base", "now"));
}

TEST(RsyncTest, AnotherSizeOrACutDeltaIsDamage) {
  test::Random random(3);
  const std::string base = random.Text(4000);
  const std::string now = "changed" + base.substr(0, 3000) + "end";
  const std::string delta = Delta(base, now);
  for (const size_t size : {size_t{0}, now.size() - 1, now.size() + 1}) {
    std::string back(size, '\0');
    EXPECT_TRUE(RsyncPatch(AsBytes(base), AsBytes(delta), Room(&back)).IsCorruption()) << size;
  }
  std::string back(now.size(), '\0');
  for (size_t n = 0; n < delta.size(); ++n) {
    EXPECT_TRUE(RsyncPatch(AsBytes(base), AsBytes(delta.substr(0, n)), Room(&back)).IsCorruption()) << n;
  }
  EXPECT_TRUE(RsyncPatch(AsBytes(base), AsBytes(delta + "x"), Room(&back)).IsCorruption());
  EXPECT_TRUE(RsyncPatch(AsBytes(base.substr(0, 100)), AsBytes(delta), Room(&back)).IsCorruption()) << "base too short";
}

TEST(RsyncTest, DamagedDeltasNeverWriteOutside) {
  const uint64_t seed = test::TestSeed();
  test::Random random(seed);
  const std::string base = random.Text(3000);
  const std::string now = base.substr(1000, 1500) + random.Text(50) + base.substr(0, 200);
  const std::string delta = Delta(base, now);
  for (int i = 0; i < 5000; ++i) {
    std::string guarded(now.size() + 32, 'g');
    const Status status =
        RsyncPatch(AsBytes(base), AsBytes(test::Mutate(&random, delta)), Room(&guarded).subspan(16, now.size()));
    ASSERT_TRUE(status.ok() || status.IsCorruption());
    ASSERT_EQ(guarded.substr(0, 16) + guarded.substr(now.size() + 16), std::string(32, 'g')) << "seed " << seed;
  }
}

}  // namespace
}  // namespace dkfs::codec
