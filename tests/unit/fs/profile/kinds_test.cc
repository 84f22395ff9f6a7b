#include "fs/profile/kinds.h"

#include <gtest/gtest.h>

namespace dkfs {
namespace {

WriteContext Of(uint8_t size) {
  WriteContext context;
  context.size = size;
  return context;
}

int SizeFor(const Kinds& kinds, std::string_view path) {
  auto context = kinds.For(path);
  return context ? context->size : -1;
}

TEST(KindsTest, NumbersAndTemporarySuffixesMakeNoOtherKind) {
  EXPECT_EQ("pg_wal/xlogtemp.#", Kinds::KindOf("pg_wal/xlogtemp.1234"));
  EXPECT_EQ(Kinds::KindOf("a/doc-17.json"), Kinds::KindOf("a/doc-8.json.tmp"));
  EXPECT_EQ("o/#.bin", Kinds::KindOf("o/00ffab12cd.bin"));
  EXPECT_EQ("feed/bead.c", Kinds::KindOf("feed/bead.c"));  // words
  EXPECT_EQ("", Kinds::KindOf(""));
}

TEST(KindsTest, TheNearestThatIsKnownCounts) {
  Kinds kinds;
  EXPECT_EQ(-1, SizeFor(kinds, "a/x-1.sql"));
  kinds.Learn("a/x-1.sql", Of(3));
  kinds.Learn("b/y.log", Of(1));
  EXPECT_EQ(3, SizeFor(kinds, "a/x-2.sql"));
  EXPECT_EQ(3, SizeFor(kinds, "elsewhere/z.sql")) << "the suffix";
  EXPECT_EQ(1, SizeFor(kinds, "b/without")) << "the directory";
  EXPECT_EQ(-1, SizeFor(kinds, "c/without"));
  EXPECT_EQ(-1, SizeFor(kinds, "b")) << "a directory is no file";
  kinds.Learn("a/x-3.sql", Of(0));
  EXPECT_EQ(0, SizeFor(kinds, "a/x-4.sql")) << "the worst case";
  kinds.Learn("a/x-4.sql", Of(3));
  EXPECT_EQ(0, SizeFor(kinds, "a/x-5.sql"));
  EXPECT_EQ(-1, SizeFor(kinds, "c/temporary.77")) << "a number is no suffix";
}

TEST(KindsTest, MemoryIsBounded) {
  Kinds kinds;
  for (int i = 0; i < 20000; ++i)
    kinds.Learn(std::string(1, static_cast<char>('a' + i % 26)) + std::string(i % 800, 'x'), Of(1));
  EXPECT_EQ(1, SizeFor(kinds, "zx"));
}

}  // namespace
}  // namespace dkfs
