#include "store/moments.h"

#include <time.h>

#include <charconv>
#include <cstdio>

namespace dkfs {
namespace {

// Takes pieces off the front of the text; false when they are not there.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}
  bool Digits(size_t count, int* out) {
    if (text_.size() < count) return false;
    int value = 0;
    for (char c : text_.substr(0, count)) {
      if (c < '0' || c > '9') return false;
      value = value * 10 + (c - '0');
    }
    *out = value;
    text_.remove_prefix(count);
    return true;
  }
  bool Char(std::string_view any, char* out = nullptr) {
    if (text_.empty() || any.find(text_.front()) == std::string_view::npos) return false;
    if (out != nullptr) *out = text_.front();
    text_.remove_prefix(1);
    return true;
  }
  // ".123" as nanoseconds; digits beyond the ninth are dropped. Nothing there is 0.
  bool Fraction(uint32_t* nsec) {
    *nsec = 0;
    if (!Char(".")) return true;
    uint32_t scale = 100'000'000;
    size_t digits = 0;
    for (; !text_.empty() && text_.front() >= '0' && text_.front() <= '9'; ++digits, text_.remove_prefix(1)) {
      *nsec += static_cast<uint32_t>(text_.front() - '0') * scale;
      scale /= 10;
    }
    return digits > 0;
  }
  template <class Int>
  bool Integer(Int* out) {
    auto [end, error] = std::from_chars(text_.data(), text_.data() + text_.size(), *out);
    if (error != std::errc()) return false;
    text_.remove_prefix(static_cast<size_t>(end - text_.data()));
    return true;
  }
  bool AtEnd() const { return text_.empty(); }

 private:
  std::string_view text_;
};

bool ParseDate(Scanner* in, struct tm* tm) {
  int year, month, day, hour, minute, second;
  const bool ok = in->Digits(4, &year) && in->Char("-") && in->Digits(2, &month) && in->Char("-") &&
                  in->Digits(2, &day) && in->Char("Tt ") && in->Digits(2, &hour) && in->Char(":") &&
                  in->Digits(2, &minute) && in->Char(":") && in->Digits(2, &second);
  if (!ok || month < 1 || month > 12 || day < 1 || hour > 23 || minute > 59 || second > 60) return false;
  *tm = {};
  tm->tm_year = year - 1900;
  tm->tm_mon = month - 1;
  tm->tm_mday = day;
  tm->tm_hour = hour;
  tm->tm_min = minute;
  tm->tm_sec = second;
  tm->tm_isdst = -1;
  struct tm date {};
  date.tm_year = tm->tm_year;
  date.tm_mon = tm->tm_mon;
  date.tm_mday = day;
  timegm(&date);  // normalises: the 31st of April would come back as the 1st of May
  return date.tm_mday == day;
}

// The zone behind a date: "" local, "Z", "+01:00".
bool ParseZone(Scanner* in, struct tm* tm, int64_t* seconds) {
  if (in->AtEnd()) {
    *seconds = mktime(tm);
    return true;
  }
  *seconds = timegm(tm);
  if (in->Char("Zz")) return true;
  char sign;
  int hours, minutes;
  if (!in->Char("+-", &sign) || !in->Digits(2, &hours) || !in->Char(":") || !in->Digits(2, &minutes)) return false;
  if (hours > 23 || minutes > 59) return false;
  *seconds += (sign == '-' ? 1 : -1) * (hours * 3600 + minutes * 60);
  return true;
}

}  // namespace

Result<MomentText> ParseMomentText(std::string_view text) {
  const Status bad =
      Status::Error(EINVAL, "moment '" + std::string(text) + "' not understood (latest, seq:N, @SECONDS, " +
                                "2026-01-31T14:03:07Z or '2026-01-31 14:03:07')");
  if (text == "latest") return MomentText(LatestMoment{});
  if (text.starts_with("seq:")) {
    Scanner in(text.substr(4));
    uint64_t seq = 0;
    return in.Integer(&seq) && in.AtEnd() ? Result<MomentText>(Seq{seq}) : Result<MomentText>(bad);
  }
  TimeSpec time;
  if (text.starts_with("@")) {
    Scanner in(text.substr(1));
    if (!in.Integer(&time.sec) || !in.Fraction(&time.nsec) || !in.AtEnd()) return bad;
    return MomentText(time);
  }
  Scanner in(text);
  struct tm tm;
  if (!ParseDate(&in, &tm) || !in.Fraction(&time.nsec) || !ParseZone(&in, &tm, &time.sec) || !in.AtEnd()) return bad;
  return MomentText(time);
}

std::string FormatTime(TimeSpec time) {
  const time_t seconds = time.sec;
  struct tm tm;
  if (gmtime_r(&seconds, &tm) == nullptr) return "@" + std::to_string(time.sec);
  char text[64];
  std::snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%09uZ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
                tm.tm_hour, tm.tm_min, tm.tm_sec, time.nsec);
  return text;
}

}  // namespace dkfs
