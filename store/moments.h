// Moments as people write them. Pure.
#pragma once

#include <string>
#include <string_view>
#include <variant>

#include "store/base/clock.h"
#include "store/base/status.h"
#include "store/format/ids.h"

namespace dkfs {

struct LatestMoment {};
using MomentText = std::variant<LatestMoment, Seq, TimeSpec>;

// "latest", "seq:N", "@UNIXSECONDS[.frac]", RFC 3339 ("2026-01-31T14:03:07[.frac]Z" or "+01:00"), or local time
// "YYYY-MM-DD HH:MM:SS[.frac]" (a T for the blank allowed). EINVAL for anything else, and for days that do not exist.
Result<MomentText> ParseMomentText(std::string_view text);
// RFC 3339 in UTC with nanoseconds: "2026-01-31T14:03:07.000000000Z"; ParseMomentText takes it back.
std::string FormatTime(TimeSpec time);

}  // namespace dkfs
