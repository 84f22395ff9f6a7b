// Logging: one `key=value` line an event. error: data or service at risk; warn: degraded; info: state change; debug:
// -d. A warn or error says in `hint` what the operator can do.
//
//   Log(LogLevel::kWarn, "metrics_off", {{"addr", addr}, {"error", s.ToString()}, {"hint", "pass --metrics-addr"}});
//   -> 2026-01-31T12:00:00.123Z level=warn event=metrics_off addr=127.0.0.1:9911 error="..." hint="..."
//
// Goes to stderr, and to syslog-style consumers through it. Thread-safe; a line is one write.
#pragma once

#include <atomic>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace dkfs {

enum class LogLevel { kDebug, kInfo, kWarn, kError };

struct LogField {
  LogField(std::string_view k, std::string_view v) : key(k), value(v) {}
  LogField(std::string_view k, const char* v) : key(k), value(v) {}
  LogField(std::string_view k, std::string v) : key(k), value(std::move(v)) {}
  template <class Int>
  requires std::is_integral_v<Int> LogField(std::string_view k, Int v) : key(k), value(std::to_string(v)) {}
  std::string key;
  std::string value;
};

void Log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields);
void SetLogLevel(LogLevel lowest);
bool LogEnabled(LogLevel level);
// Where lines go (default 2). The fd must stay open; -1 drops them.
void SetLogFd(int fd);
// The last warn or error line's text (for status), empty when none.
std::string LastError();

}  // namespace dkfs
