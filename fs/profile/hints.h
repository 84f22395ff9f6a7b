// Hints: layouts that people name for patterns of paths, because they know better than the profiler.
//
// A file of lines `PATTERN LAYOUT`, such as `/pg_wal/* 8K delta z1 fold8` (layout_choice.h); empty lines and what
// follows a '#' at a line's beginning are passed over. PATTERN is a shell pattern (fnmatch, '*' also matches '/') of
// the path under the mount point; the first that matches counts. Immutable once made, so thread-safe.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fs/profile/layout_choice.h"
#include "store/base/status.h"

namespace dkfs {

class Hints {
 public:
  // EINVAL names the line and what is wrong with it.
  static Result<Hints> Parse(std::string_view text);
  static Result<Hints> Load(const std::string& path);

  // `path` as under the mount point, with or without the leading '/'.
  std::optional<FileLayout> For(std::string_view path) const;
  bool empty() const { return lines_.empty(); }

 private:
  struct Line {
    std::string pattern;
    FileLayout layout;
  };
  std::vector<Line> lines_;
};

}  // namespace dkfs
