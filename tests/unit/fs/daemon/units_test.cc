#include "fs/daemon/units.h"

#include <gtest/gtest.h>

namespace dkfs {
namespace {

TEST(UnitsTest, SizesUsePowersOf1024) {
  EXPECT_EQ(4096u, *ParseSize("4096"));
  EXPECT_EQ(64u << 10, *ParseSize("64K"));
  EXPECT_EQ(64u << 10, *ParseSize("64k"));
  EXPECT_EQ(10ull << 30, *ParseSize("10G"));
  EXPECT_EQ(10ull << 30, *ParseSize("10GiB"));
  EXPECT_EQ(10ull << 30, *ParseSize("10GB"));
  EXPECT_EQ(3ull << 39, *ParseSize("1.5T"));
  EXPECT_EQ(0u, *ParseSize("0"));
}

TEST(UnitsTest, BadSizesAreNamed) {
  for (const char* text : {"", "G", "-1", "10X", "10 G", "10GG", "1e9", "nan", "inf", "9999999999P", "0x10"}) {
    auto size = ParseSize(text);
    EXPECT_FALSE(size.ok()) << text;
    EXPECT_NE(std::string_view::npos, size.status().context().find("'" + std::string(text) + "'"));
  }
}

TEST(UnitsTest, TimesHaveUnits) {
  EXPECT_EQ(90, ParseDuration("90s")->count());
  EXPECT_EQ(900, ParseDuration("15m")->count());
  EXPECT_EQ(86400, ParseDuration("24h")->count());
  EXPECT_EQ(7 * 86400, ParseDuration("7d")->count());
}

TEST(UnitsTest, BadTimesAreRefused) {
  for (const char* text :
       {"", "h", "0", "90", "0s", "-5m", "5 m", "5mm", "1.5h", "99999999999999999999", "40000d", "5w"}) {
    EXPECT_FALSE(ParseDuration(text).ok()) << text;
  }
}

TEST(UnitsTest, NumbersAreShownShort) {
  EXPECT_EQ("512 B", FormatSize(512));
  EXPECT_EQ("1.5 GiB", FormatSize(3ull << 29));
  EXPECT_EQ("0s", FormatDuration(std::chrono::seconds(0)));
  EXPECT_EQ("2h 5m", FormatDuration(std::chrono::seconds(2 * 3600 + 5 * 60 + 7)));
  EXPECT_EQ("1d", FormatDuration(std::chrono::seconds(86400)));
}

}  // namespace
}  // namespace dkfs
