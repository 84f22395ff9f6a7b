#include <gtest/gtest.h>

#include <thread>

#include "store/codec/codec.h"
#include "tests/support/random.h"

namespace dkfs::codec {
namespace {

MutableBytes Room(std::string* text) { return {reinterpret_cast<std::byte*>(text->data()), text->size()}; }

std::string Compressed(const std::string& text, int level = 3) {
  std::string out;
  EXPECT_TRUE(Compress(AsBytes(text), level, &out).ok());
  return out;
}

Status Expand(const std::string& frame, std::string* out) { return Decompress(AsBytes(frame), Room(out)); }

TEST(CompressTest, RoundTripsAtEveryLevel) {
  const uint64_t seed = test::TestSeed();
  test::Random random(seed);
  for (int level = 1; level <= 19; level += 3) {
    for (const size_t size : {size_t{0}, size_t{1}, size_t{8192}, size_t{200'000}}) {
      std::string text = random.Text(size / 2);
      text.resize(size, 'z');
      std::string back(size, '\0');
      ASSERT_TRUE(Expand(Compressed(text, level), &back).ok()) << "seed " << seed;
      ASSERT_EQ(back, text) << "seed " << seed;
    }
  }
}

TEST(CompressTest, AppendsToWhatIsThere) {
  std::string out = "front";
  ASSERT_TRUE(Compress(AsBytes("text"), 3, &out).ok());
  EXPECT_EQ(out, "front" + Compressed("text"));
}

TEST(CompressTest, ALongWindowFindsWhatStoodMebibytesBefore) {
  const uint64_t seed = test::TestSeed();
  test::Random random(seed);
  const std::string half = random.Text(3 << 20);
  const std::string text = half + half;
  const std::string as_before = Compressed(text, 1);
  std::string packed;
  ASSERT_TRUE(CompressLong(AsBytes(text), 1, &packed).ok());
  EXPECT_LT(packed.size(), as_before.size() * 6 / 10);
  std::string back(text.size(), '\0');
  ASSERT_TRUE(Expand(packed, &back).ok()) << "seed " << seed;
  EXPECT_EQ(back, text) << "seed " << seed;
  EXPECT_EQ(Compressed(text, 1), as_before) << "the thread's context is as before";
}

TEST(CompressTest, ZerosShrink) { EXPECT_LT(Compressed(std::string(1 << 20, '\0')).size(), 200u); }

TEST(CompressTest, AnotherSizeIsDamage) {
  const std::string frame = Compressed("0123456789");
  for (const size_t size : {0, 9, 11, 1000}) {
    std::string back(size, '\0');
    EXPECT_TRUE(Expand(frame, &back).IsCorruption()) << size;
  }
}

TEST(CompressTest, CutLongerOrTwoFramesAreDamage) {
  const std::string frame = Compressed("some text, some more text, some text");
  std::string back(36, '\0');
  ASSERT_TRUE(Expand(frame, &back).ok());
  for (size_t n = 0; n < frame.size(); ++n) EXPECT_TRUE(Expand(frame.substr(0, n), &back).IsCorruption()) << n;
  EXPECT_TRUE(Expand(frame + "x", &back).IsCorruption());
  EXPECT_TRUE(Expand(frame + Compressed(""), &back).IsCorruption());
}

TEST(CompressTest, DamagedFramesNeverWriteOutside) {
  const uint64_t seed = test::TestSeed();
  test::Random random(seed);
  for (int i = 0; i < 5000; ++i) {
    const std::string frame = test::Mutate(&random, Compressed(random.Name(200)));
    std::string guarded(32 + 64, 'g');
    const Status status = Decompress(AsBytes(frame), Room(&guarded).subspan(16, 64));
    ASSERT_TRUE(status.ok() || status.IsCorruption());
    ASSERT_EQ(guarded.substr(0, 16) + guarded.substr(80), std::string(32, 'g')) << "seed " << seed;
  }
}

TEST(CompressFastTest, RoundTripsWhatFits) {
  const uint64_t seed = test::TestSeed();
  test::Random random(seed);
  for (const size_t size : {size_t{1}, size_t{100}, size_t{8192}, size_t{200'000}}) {
    std::string text = random.Text(size / 2);
    text.resize(size, 'z');
    std::string stored(size + size / 100 + 64, '\0');
    stored.resize(CompressFast(AsBytes(text), Room(&stored)));
    ASSERT_GT(stored.size(), 0u);
    std::string back(size, '\0');
    ASSERT_TRUE(DecompressFast(AsBytes(stored), Room(&back)).ok()) << "seed " << seed;
    ASSERT_EQ(back, text) << "seed " << seed;
    std::string other(size + 1, '\0');
    EXPECT_TRUE(DecompressFast(AsBytes(stored), Room(&other)).IsCorruption());
    EXPECT_TRUE(DecompressFast(AsBytes(stored), Room(&other).first(size - 1)).IsCorruption());
    for (size_t n = 0; n < std::min<size_t>(stored.size(), 500); ++n) {
      EXPECT_TRUE(DecompressFast(AsBytes(stored).first(n), Room(&back)).IsCorruption()) << n;
    }
  }
}

TEST(CompressFastTest, WhatDoesNotFitIsRefused) {
  test::Random random(test::TestSeed());
  const std::string text = random.Text(8192);
  std::string out(8192 / 8 * 7 + 16, 'g');
  EXPECT_EQ(CompressFast(AsBytes(text), Room(&out).first(8192 / 8 * 7)), 0u);
  EXPECT_EQ(out.substr(8192 / 8 * 7), std::string(16, 'g'));
}

TEST(CompressFastTest, DamageNeverWritesOutside) {
  const uint64_t seed = test::TestSeed();
  test::Random random(seed);
  for (int i = 0; i < 5000; ++i) {
    const std::string text = random.Name(100) + std::string(100, 'x');
    std::string stored(400, '\0');
    stored.resize(CompressFast(AsBytes(text), Room(&stored)));
    const std::string damaged = test::Mutate(&random, stored);
    std::string guarded(32 + 64, 'g');
    const Status status = DecompressFast(AsBytes(damaged), Room(&guarded).subspan(16, 64));
    ASSERT_TRUE(status.ok() || status.IsCorruption());
    ASSERT_EQ(guarded.substr(0, 16) + guarded.substr(80), std::string(32, 'g')) << "seed " << seed;
  }
}

TEST(CompressTest, ThreadsHaveContextsOfTheirOwn) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t] {
      const std::string text(50'000, static_cast<char>('a' + t));
      for (int i = 0; i < 20; ++i) {
        std::string back(text.size(), '\0');
        EXPECT_TRUE(Expand(Compressed(text), &back).ok());
        EXPECT_EQ(back, text);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace dkfs::codec
