#include "store/base/log.h"

#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "store/base/clock.h"
#include "store/base/mutex.h"

namespace dkfs {
namespace {

std::atomic<LogLevel> g_lowest{LogLevel::kInfo};
std::atomic<int> g_fd{2};

struct Last {
  Mutex mutex;
  std::string line GUARDED_BY(mutex);
};

Last& TheLast() {
  static Last* last = new Last;  // never destroyed: threads may log while the process ends
  return *last;
}

const char* LevelName(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarn:
      return "warn";
    case LogLevel::kError:
      return "error";
  }
  return "error";
}

void AppendTime(std::string* line) {
  const TimeSpec now = WallNow();
  const time_t seconds = now.sec;
  tm parts{};
  gmtime_r(&seconds, &parts);
  char text[64];
  const size_t n = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  line->append(text, n);
  std::snprintf(text, sizeof text, ".%03uZ", now.nsec / 1'000'000);
  *line += text;
}

bool NeedsQuotes(std::string_view value) {
  if (value.empty()) return true;
  for (const char c : value) {
    const auto u = static_cast<unsigned char>(c);
    if (u <= ' ' || u == 0x7f || c == '"' || c == '=' || c == '\\') return true;
  }
  return false;
}

void AppendEscaped(char c, std::string* line) {
  const auto u = static_cast<unsigned char>(c);
  if (c == '"' || c == '\\') {
    *line += '\\';
    *line += c;
  } else if (c == '\n') {
    *line += "\\n";
  } else if (u < ' ' || u == 0x7f) {
    char hex[8];
    std::snprintf(hex, sizeof hex, "\\x%02x", u);
    *line += hex;
  } else {
    *line += c;
  }
}

void AppendField(std::string_view key, std::string_view value, std::string* line) {
  *line += ' ';
  *line += key;
  *line += '=';
  if (!NeedsQuotes(value)) {
    *line += value;
    return;
  }
  *line += '"';
  for (const char c : value) AppendEscaped(c, line);
  *line += '"';
}

void WriteLine(std::string_view line) {
  const int fd = g_fd.load(std::memory_order_relaxed);
  if (fd < 0) return;
  // One write: lines of several processes do not mix. What cannot be written is lost; there is nobody to tell.
  while (::write(fd, line.data(), line.size()) < 0 && errno == EINTR) {
  }
}

}  // namespace

void Log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields) {
  const bool keep = level >= LogLevel::kWarn;
  if (!keep && !LogEnabled(level)) return;
  const int saved_errno = errno;
  std::string line;
  AppendTime(&line);
  AppendField("level", LevelName(level), &line);
  AppendField("event", event, &line);
  for (const LogField& field : fields) AppendField(field.key, field.value, &line);
  if (keep) {
    Last& last = TheLast();
    MutexLock lock(last.mutex);
    last.line = line;
  }
  line += '\n';
  if (LogEnabled(level)) WriteLine(line);
  errno = saved_errno;
}

void SetLogLevel(LogLevel lowest) { g_lowest.store(lowest, std::memory_order_relaxed); }
bool LogEnabled(LogLevel level) { return level >= g_lowest.load(std::memory_order_relaxed); }
void SetLogFd(int fd) { g_fd.store(fd, std::memory_order_relaxed); }

std::string LastError() {
  Last& last = TheLast();
  MutexLock lock(last.mutex);
  return last.line;
}

}  // namespace dkfs
