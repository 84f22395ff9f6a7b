#include "fs/daemon/units.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>

namespace dkfs {
namespace {

constexpr std::array<std::string_view, 6> kSizeUnits = {"", "K", "M", "G", "T", "P"};

Status Refused(std::string_view text, std::string_view expected) {
  return Status::Error(EINVAL, "'" + std::string(text) + "' is not " + std::string(expected));
}

}  // namespace

Result<uint64_t> ParseSize(std::string_view text) {
  constexpr std::string_view kExpected = "a size like 4096, 64M or 10G";
  double number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  if (error != std::errc() || !(number >= 0)) return Refused(text, kExpected);
  std::string unit(end, static_cast<size_t>(text.data() + text.size() - end));
  for (const char* tail : {"iB", "B"}) {
    if (unit.size() > 1 && unit.ends_with(tail)) {
      unit.resize(unit.size() - std::string_view(tail).size());
      break;
    }
  }
  for (size_t i = 0; i < kSizeUnits.size(); ++i) {
    if (unit.size() != kSizeUnits[i].size() || (i > 0 && std::toupper(unit[0]) != kSizeUnits[i][0])) continue;
    double bytes = std::ldexp(number, static_cast<int>(i) * 10);
    if (bytes >= 0x1p62) return Refused(text, "a size below 4 EiB");
    return static_cast<uint64_t>(bytes);
  }
  return Refused(text, kExpected);
}

Result<std::chrono::seconds> ParseDuration(std::string_view text) {
  constexpr std::string_view kExpected = "a time like 90s, 15m, 24h or 7d";
  constexpr int64_t kMost = int64_t{100} * 365 * 86400;
  int64_t number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || number <= 0) return Refused(text, kExpected);
  std::string_view unit(end, static_cast<size_t>(text.data() + text.size() - end));
  int64_t scale = unit == "s" ? 1 : unit == "m" ? 60 : unit == "h" ? 3600 : unit == "d" ? 86400 : 0;
  if (scale == 0) return Refused(text, kExpected);
  if (number > kMost / scale) return Refused(text, "a time below 100 years");
  return std::chrono::seconds(number * scale);
}

std::string FormatSize(uint64_t bytes) {
  size_t unit = 0;
  auto value = static_cast<double>(bytes);
  for (; value >= 1024 && unit + 1 < kSizeUnits.size(); value /= 1024) ++unit;
  char text[48];
  if (unit == 0) {
    std::snprintf(text, sizeof text, "%llu B", static_cast<unsigned long long>(bytes));
  } else {
    std::snprintf(text, sizeof text, "%.1f %ciB", value, kSizeUnits[unit][0]);
  }
  return text;
}

std::string FormatDuration(std::chrono::seconds duration) {
  struct Part {
    int64_t seconds;
    char unit;
  };
  constexpr std::array<Part, 4> kParts = {Part{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};
  int64_t left = duration.count();
  std::string text;
  int shown = 0;
  for (const Part& part : kParts) {
    if (left < part.seconds || shown == 2) continue;
    if (shown++ > 0) text += ' ';
    text += std::to_string(left / part.seconds) + part.unit;
    left %= part.seconds;
  }
  return text.empty() ? "0s" : text;
}

}  // namespace dkfs
