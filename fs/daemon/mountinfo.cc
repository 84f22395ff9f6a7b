#include "fs/daemon/mountinfo.h"

#include <fcntl.h>
#include <unistd.h>

#include "store/base/unique_fd.h"

namespace dkfs {
namespace {

bool IsOctal(char c) { return c >= '0' && c <= '7'; }

// Undoes \040 and its like.
std::string Unescape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && IsOctal(text[i + 1]) && IsOctal(text[i + 2]) &&
        IsOctal(text[i + 3])) {
      out.push_back(static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0')));
      i += 3;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

std::vector<std::string_view> Words(std::string_view line) {
  std::vector<std::string_view> words;
  while (!line.empty()) {
    size_t space = line.find(' ');
    if (space != 0) words.push_back(line.substr(0, space));
    if (space == std::string_view::npos) break;
    line.remove_prefix(space + 1);
  }
  return words;
}

// "36 35 98:0 /root /mount/point options [optional...] - type source super"
std::optional<MountEntry> ParseLine(std::string_view line) {
  std::vector<std::string_view> words = Words(line);
  size_t dash = 6;
  while (dash < words.size() && words[dash] != "-") ++dash;
  if (dash + 1 >= words.size()) return std::nullopt;
  std::string source = dash + 2 < words.size() ? Unescape(words[dash + 2]) : "";
  return MountEntry{std::string(words[2]), Unescape(words[3]), Unescape(words[4]), std::string(words[dash + 1]), source,
                    std::string(words[5])};
}

}  // namespace

std::vector<MountEntry> ParseMountInfo(std::string_view text) {
  std::vector<MountEntry> entries;
  while (!text.empty()) {
    size_t newline = text.find('\n');
    if (auto entry = ParseLine(text.substr(0, newline))) entries.push_back(std::move(*entry));
    if (newline == std::string_view::npos) break;
    text.remove_prefix(newline + 1);
  }
  return entries;
}

Result<std::vector<MountEntry>> ReadMountInfo() {
  UniqueFd fd(::open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC));
  if (!fd) return Status::FromErrno("opening /proc/self/mountinfo");
  std::string text;
  char buffer[16384];
  ssize_t n;
  while ((n = ::read(fd.get(), buffer, sizeof buffer)) > 0) text.append(buffer, static_cast<size_t>(n));
  if (n < 0) return Status::FromErrno("reading /proc/self/mountinfo");
  return ParseMountInfo(text);
}

bool IsBelow(std::string_view path, std::string_view dir) {
  if (dir == "/") return true;
  return path.starts_with(dir) && (path.size() == dir.size() || path[dir.size()] == '/');
}

std::optional<MountEntry> MountAt(const std::vector<MountEntry>& mounts, const std::string& path) {
  std::optional<MountEntry> found;
  for (const MountEntry& entry : mounts) {
    if (entry.mount_point == path) found = entry;
  }
  return found;
}

std::optional<MountEntry> MountOf(const std::vector<MountEntry>& mounts, const std::string& path) {
  std::optional<MountEntry> found;
  for (const MountEntry& entry : mounts) {
    if (!IsBelow(path, entry.mount_point)) continue;
    if (!found || entry.mount_point.size() >= found->mount_point.size()) found = entry;
  }
  return found;
}

}  // namespace dkfs
