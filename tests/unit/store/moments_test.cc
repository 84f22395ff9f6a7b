#include "store/moments.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <time.h>

namespace dkfs {
namespace {

TimeSpec TimeOf(std::string_view text) {
  Result<MomentText> moment = ParseMomentText(text);
  EXPECT_TRUE(moment.ok()) << text;
  const TimeSpec* time = moment.ok() ? std::get_if<TimeSpec>(&*moment) : nullptr;
  EXPECT_NE(time, nullptr) << text;
  return time != nullptr ? *time : TimeSpec{};
}

TEST(MomentsTest, FormsAreUnderstood) {
  EXPECT_TRUE(std::holds_alternative<LatestMoment>(*ParseMomentText("latest")));
  EXPECT_EQ(std::get<Seq>(*ParseMomentText("seq:18446744073709551615")), kLatest);
  EXPECT_EQ(TimeOf("@12.5"), (TimeSpec{12, 500'000'000}));
  EXPECT_EQ(TimeOf("1970-01-01T00:00:01Z"), (TimeSpec{1, 0}));
  EXPECT_EQ(TimeOf("1970-01-01T01:00:01.25+01:00"), (TimeSpec{1, 250'000'000}));
  EXPECT_EQ(TimeOf("1969-12-31 23:00:01-01:00"), (TimeSpec{1, 0}));
  EXPECT_EQ(TimeOf("2024-02-29T00:00:00.1234567891Z"), (TimeSpec{1709164800, 123456789}));
}

TEST(MomentsTest, LocalTimeFollowsTheZone) {
  setenv("TZ", "UTC-2", 1);
  tzset();
  EXPECT_EQ(TimeOf("1970-01-01 02:00:00"), (TimeSpec{0, 0}));
  unsetenv("TZ");
  tzset();
}

TEST(MomentsTest, NonsenseIsRefused) {
  for (const char* text :
       {"", "seq:", "seq:1x", "seq:-1", "@", "@1.", "@x", "2024-02-30T00:00:00Z", "2024-13-01T00:00:00Z", "2024-01-01",
        "2024-01-01T25:00:00Z", "2024-01-01T00:00:00+1", "2024-01-01T00:00:00Zx", "now"}) {
    EXPECT_EQ(ParseMomentText(text).status().code(), EINVAL) << text;
  }
}

TEST(MomentsTest, FormattedTimesParseBack) {
  for (TimeSpec time : {TimeSpec{0, 0}, TimeSpec{1769860987, 123456789}, TimeSpec{-1, 999'999'999}}) {
    EXPECT_EQ(TimeOf(FormatTime(time)), time) << FormatTime(time);
  }
}

}  // namespace
}  // namespace dkfs
