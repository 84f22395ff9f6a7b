#include "fs/profile/hints.h"

#include <fcntl.h>
#include <fnmatch.h>

#include "store/base/file.h"

namespace dkfs {
namespace {

constexpr std::string_view kBlanks = " \t\r";

std::string_view Trim(std::string_view text) {
  const size_t from = text.find_first_not_of(kBlanks);
  if (from == std::string_view::npos) return {};
  return text.substr(from, text.find_last_not_of(kBlanks) - from + 1);
}

}  // namespace

Result<Hints> Hints::Parse(std::string_view text) {
  Hints hints;
  for (size_t number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = Trim(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty() || line.front() == '#') continue;
    const std::string where = "line " + std::to_string(number) + ": ";
    const size_t pattern_end = line.find_first_of(kBlanks);
    if (pattern_end == std::string_view::npos) return Status::Error(EINVAL, where + "a pattern without a layout");
    auto layout = ParseLayout(Trim(line.substr(pattern_end)));
    if (!layout.ok()) return layout.status().Prefix(where + "not a layout");
    std::string pattern(line.substr(0, pattern_end));
    if (pattern.front() != '/') pattern.insert(0, "/");
    hints.lines_.push_back({std::move(pattern), *layout});
  }
  return hints;
}

Result<Hints> Hints::Load(const std::string& path) {
  DKFS_TRY_ASSIGN(const std::string text, file::ReadAll(AT_FDCWD, path));
  auto hints = Parse(text);
  if (!hints.ok()) return hints.status().Prefix(path);
  return hints;
}

std::optional<FileLayout> Hints::For(std::string_view path) const {
  std::string whole(path);
  if (whole.empty() || whole.front() != '/') whole.insert(0, "/");
  for (const Line& line : lines_) {
    if (::fnmatch(line.pattern.c_str(), whole.c_str(), 0) == 0) return line.layout;
  }
  return std::nullopt;
}

}  // namespace dkfs
