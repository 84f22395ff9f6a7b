#include <gtest/gtest.h>

#include "store/codec/codec.h"
#include "tests/support/random.h"

namespace dkfs::codec {
namespace {

MutableBytes Room(std::string* text) { return {reinterpret_cast<std::byte*>(text->data()), text->size()}; }

std::string Diff(const std::string& before, const std::string& now) {
  std::string out;
  EXPECT_TRUE(DiffRanges(AsBytes(before), AsBytes(now), SIZE_MAX, &out));
  return out;
}

std::string OneRun(uint32_t offset, std::string_view bytes) {
  std::string out;
  PutLe(&out, offset);
  PutLe(&out, static_cast<uint32_t>(bytes.size()));
  out += bytes;
  return out;
}

// The plain model: byte by byte, joined across gaps of fewer than 16 equal bytes.
std::string SlowDiff(const std::string& before, const std::string& now) {
  std::string out;
  for (size_t i = 0; i < now.size();) {
    if (before[i] == now[i]) {
      ++i;
      continue;
    }
    size_t end = i + 1;
    for (size_t j = end; j < now.size() && j - end < 16; ++j) {
      if (before[j] != now[j]) end = j + 1;
    }
    out += OneRun(static_cast<uint32_t>(i), std::string_view(now).substr(i, end - i));
    i = end;
  }
  return out;
}

std::string ChangeSome(test::Random* random, std::string text) {
  for (uint64_t left = random->Below(6); left > 0 && !text.empty(); --left) {
    const size_t at = random->Below(text.size());
    random->Overwrite(&text, at, std::min(text.size() - at, random->Below(random->OneIn(3) ? 300 : 20) + 1));
  }
  return text;
}

TEST(RangesTest, PatchOfDiffIsNowAndDiffIsTheModels) {
  const uint64_t seed = test::TestSeed();
  test::Random random(seed);
  for (int i = 0; i < 5000; ++i) {
    const std::string before = random.Text(random.OneIn(20) ? 65536 : random.Below(700));
    const std::string now = ChangeSome(&random, before);
    const std::string ranges = Diff(before, now);
    ASSERT_EQ(ranges, SlowDiff(before, now)) << "seed " << seed;
    std::string patched = before;
    ASSERT_TRUE(PatchRanges(AsBytes(ranges), Room(&patched)).ok()) << "seed " << seed;
    ASSERT_EQ(patched, now) << "seed " << seed;
  }
}

TEST(RangesTest, EqualBlocksHaveNoRanges) {
  EXPECT_EQ(Diff(std::string(8192, 'x'), std::string(8192, 'x')), "");
  EXPECT_EQ(Diff("", ""), "");
}

TEST(RangesTest, RunsCloserThanSixteenBytesAreJoined) {
  std::string before(100, 'a'), now = before;
  now[10] = now[26] = 'b';  // 15 equal bytes between
  EXPECT_EQ(Diff(before, now), OneRun(10, std::string_view(now).substr(10, 17)));
  now = before;
  now[10] = now[27] = 'b';  // 16
  EXPECT_EQ(Diff(before, now), OneRun(10, "b") + OneRun(27, "b"));
}

TEST(RangesTest, EverySingleByteIsFound) {
  for (size_t size : {1, 7, 8, 9, 31, 32, 33, 100}) {
    const std::string before(size, 'a');
    for (size_t i = 0; i < size; ++i) {
      std::string now = before;
      now[i] = 'b';
      EXPECT_EQ(Diff(before, now), OneRun(static_cast<uint32_t>(i), "b"));
    }
  }
}

TEST(RangesTest, BeyondTheLimitOutIsAsItWas) {
  const std::string before(100, 'a');
  std::string now = before;
  now[0] = now[50] = 'b';  // two runs of 9 bytes
  std::string out = "front";
  EXPECT_FALSE(DiffRanges(AsBytes(before), AsBytes(now), 17, &out));
  EXPECT_EQ(out, "front");
  EXPECT_TRUE(DiffRanges(AsBytes(before), AsBytes(now), 18, &out));
  EXPECT_EQ(out, "front" + OneRun(0, "b") + OneRun(50, "b"));
}

TEST(RangesTest, RangesThatAreNotWellFormedAreDamage) {
  const std::string good = OneRun(2, "abc") + OneRun(90, "0123456789");
  const auto code = [](const std::string& ranges) {
    std::string block(100, 'x');
    return PatchRanges(AsBytes(ranges), Room(&block)).code();
  };
  EXPECT_EQ(code(good), 0);
  for (size_t n = 1; n < good.size(); ++n) {
    EXPECT_EQ(code(good.substr(0, n)), n == 11 ? 0 : EUCLEAN) << n;
  }
  EXPECT_EQ(code(OneRun(91, "0123456789")), EUCLEAN) << "past the end";
  EXPECT_EQ(code(OneRun(100, "x")), EUCLEAN);
  EXPECT_EQ(code(OneRun(0xffffffff, "x")), EUCLEAN);
  EXPECT_EQ(code(OneRun(5, "")), EUCLEAN) << "of nothing";
  EXPECT_EQ(code(OneRun(5, "ab") + OneRun(6, "c")), EUCLEAN) << "overlapping";
  EXPECT_EQ(code(OneRun(50, "ab") + OneRun(5, "c")), EUCLEAN) << "descending";
  EXPECT_EQ(code(OneRun(5, "ab") + OneRun(7, "c")), 0) << "touching";
}

TEST(RangesTest, DamagedRangesNeverWriteOutside) {
  const uint64_t seed = test::TestSeed();
  test::Random random(seed);
  for (int i = 0; i < 20000; ++i) {
    const std::string before = random.Text(64);
    const std::string ranges = test::Mutate(&random, Diff(before, ChangeSome(&random, before)));
    std::string guarded = std::string(16, 'g') + before + std::string(16, 'g');
    const Status status = PatchRanges(AsBytes(ranges), Room(&guarded).subspan(16, 64));
    ASSERT_TRUE(status.ok() || status.IsCorruption());
    ASSERT_EQ(guarded.substr(0, 16) + guarded.substr(80), std::string(32, 'g')) << "seed " << seed;
  }
}

}  // namespace
}  // namespace dkfs::codec
