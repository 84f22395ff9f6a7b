// Kinds: what the name of a new file says about how it will be written, from files that were made before.
//
// Files that programs write once, or replace by rename, are always new: nothing is known of them but the name. Those of
// one directory whose names differ in numbers alone (`dump-#.sql`) are a kind; where that is not known, the files with
// the same suffix stand for it, or else those in the same directory. A suffix of temporary files is passed over. Of all
// that was seen of a kind the worst case counts: a file that is filled in large pieces first and then rewritten page by
// page, such as a database's log, must not begin with large blocks. Pure; not thread-safe.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "fs/profile/layout_choice.h"

namespace dkfs {

class Kinds {
 public:
  // "pg_wal/xlogtemp.123" -> "pg_wal/xlogtemp.#"; runs of 8 and more hexadecimal digits are numbers, too.
  static std::string KindOf(std::string_view path);

  // The file at `path` is written so.
  void Learn(std::string_view path, const WriteContext& context);
  std::optional<WriteContext> For(std::string_view path) const;

 private:
  void Put(std::string key, const WriteContext& context);
  std::unordered_map<std::string, WriteContext> known_;
};

}  // namespace dkfs
