#include "store/base/printable.h"

#include <gtest/gtest.h>

namespace dkfs {
namespace {

TEST(PrintableTest, NothingOfANameSteersTheTerminal) {
  EXPECT_EQ("a?[2Jb?c?", Printable("a\033[2Jb\nc\177"));
  EXPECT_EQ("?[2J?", Printable("\u009b[2J\u0080"));
  EXPECT_EQ("\u00e9\u00a0\u4e2d\xff\xc2", Printable("\u00e9\u00a0\u4e2d\xff\xc2"));
}

}  // namespace
}  // namespace dkfs
