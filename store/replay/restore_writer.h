// RestoreWriter: carries out the steps of a restore and counts what became of them. Not thread-safe.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "store/replay/restore.h"
#include "store/replay/restore_steps.h"

namespace dkfs {

class RestoreWriter {
 public:
  RestoreWriter(Seq at, const RestoreOptions& options, RestoreResult* result)
      : at_(at), options_(options), result_(*result) {}

  Status Open(const std::string& out);
  // Not Ok: the restore ends here.
  Status Do(const RestoreStep& step);
  // The output directory itself, at the end.
  Status DressRoot(const InodeState& state, const RestoreSink::Xattrs& xattrs);
  // The first problem, or the first damage if there was any.
  const Status& first_problem() const { return first_; }

 private:
  // A directory being filled. `fd` is not valid for one that could not be made: nothing below it is tried. That of one
  // far above the last is closed, and opened again when it is the last.
  struct Level {
    UniqueFd fd;
    std::string name;
    dev_t dev = 0;
    ino_t ino = 0;  // of one that is closed
  };
  int dir() const { return levels_.back().fd.get(); }
  static Status CloseForNow(Level* level);
  static Status OpenAgain(Level* level, int below);
  // Notes a problem with an entry of the last directory: Ok when restoring goes on.
  Status Problem(const Status& status, const std::string& name);
  // One entry is over; a bad `status` is a problem.
  Status Count(const Status& status, const std::string& name);
  std::string PathTo(const std::string& name) const;
  Status Enter(const RestoreStep& step);
  Status Begin(const RestoreStep& step);
  Status Write(const RestoreStep& step);
  Status Damage(const RestoreStep& step);
  Status EndFile(const RestoreStep& step);
  Status EndDirectory(const RestoreStep& step);
  Status Other(const RestoreStep& step);

  const Seq at_;
  const RestoreOptions& options_;
  RestoreResult& result_;
  RestoreSink sink_;
  std::vector<Level> levels_;  // the root first
  bool in_file_ = false;
  UniqueFd file_;  // not valid in a file: it failed, the rest of it is passed over
  std::string file_name_;
  Status first_;
};

}  // namespace dkfs
