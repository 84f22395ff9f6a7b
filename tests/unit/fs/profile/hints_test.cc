#include "fs/profile/hints.h"

#include <gtest/gtest.h>

namespace dkfs {
namespace {

std::string For(const Hints& hints, std::string_view path) {
  auto layout = hints.For(path);
  return layout ? LayoutText(*layout) : "none";
}

TEST(HintsTest, TheFirstPatternThatMatchesCounts) {
  auto hints = Hints::Parse("# people know\n\n/pg_wal/*  8K whole z1\n*.jpg 1M whole raw\r\n*.log 64K\n* fold8\n");
  ASSERT_TRUE(hints.ok()) << hints.status().ToString();
  EXPECT_EQ("8K whole z1 fold24", For(*hints, "pg_wal/0001"));
  EXPECT_EQ("1M whole raw fold24", For(*hints, "/a/b/c.jpg"));
  EXPECT_EQ("64K delta z3 fold24", For(*hints, "x.log"));
  EXPECT_EQ("8K delta z3 fold8", For(*hints, "anything"));
}

TEST(HintsTest, WithoutAMatchThereIsNone) {
  auto hints = Hints::Parse("/a 4K");
  ASSERT_TRUE(hints.ok());
  EXPECT_EQ("none", For(*hints, "b"));
  EXPECT_TRUE(Hints::Parse("")->empty());
}

TEST(HintsTest, MistakesAreNamedWithTheirLine) {
  for (const char* text : {"\n*.log", "\n*.log 5K", "\n*.log 8K z2", "\n*.log delta fold7", "\n* 2M"}) {
    auto hints = Hints::Parse(text);
    ASSERT_FALSE(hints.ok()) << text;
    EXPECT_EQ(EINVAL, hints.code());
    EXPECT_NE(std::string::npos, hints.status().ToString().find("line 2")) << hints.status().ToString();
  }
}

}  // namespace
}  // namespace dkfs
