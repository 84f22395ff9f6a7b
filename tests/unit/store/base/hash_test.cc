#include "store/base/hash.h"

#include <gtest/gtest.h>

#include "tests/support/random.h"

namespace dkfs {
namespace {

TEST(HashTest, IsXxh3) {
  // From the xxHash project's test vectors: the empty input, seed 0. Checksums on disk rest on it.
  EXPECT_EQ(Hash64({}), 0x2D06800538D394C2ull);
}

TEST(HashTest, SeedSeparatesUses) {
  const std::string text = "the same bytes";
  EXPECT_NE(Hash64(AsBytes(text), 1), Hash64(AsBytes(text), 2));
}

TEST(HashTest, PartsHashAsOneBuffer) {
  const uint64_t seed = test::TestSeed();
  test::Random random(seed);
  for (int i = 0; i < 300; ++i) {
    const std::string text = random.Text(random.Below(5000));
    const uint64_t salt = random.Next();
    Hasher hasher(salt);
    for (Bytes rest = AsBytes(text); !rest.empty();) {
      const size_t n = std::min<size_t>(rest.size(), random.Below(700) + 1);
      hasher.Update(rest.first(n));
      rest = rest.subspan(n);
    }
    ASSERT_EQ(hasher.Finish(), Hash64(AsBytes(text), salt)) << "seed " << seed;
  }
}

TEST(HashTest, ZeroPaddingIsAsIfTheZerosWereThere) {
  const uint64_t seed = test::TestSeed();
  test::Random random(seed);
  for (size_t total : {size_t{0}, size_t{1}, size_t{4096}, size_t{8192}, size_t{65536}, size_t{1} << 20}) {
    const std::string text = random.Text(random.Below(total + 1));
    std::string padded = text;
    padded.resize(total, '\0');
    EXPECT_EQ(HashZeroPadded(AsBytes(text), total), Hash64(AsBytes(padded))) << "seed " << seed;
  }
  EXPECT_EQ(HashZeroPadded({}, 8192), Hash64(AsBytes(std::string(8192, '\0'))));
}

}  // namespace
}  // namespace dkfs
