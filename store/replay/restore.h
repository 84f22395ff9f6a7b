// Restore: writes the tree as of a moment out completely, offline. Not for serving a moment lazily (replay does that).
//
// What comes out: types, names, contents with holes, hard links, symlinks, fifos, sockets, devices, modes, times to the
// nanosecond, extended attributes with ACLs, and owners when run as root. Names from the store are checked and every
// step goes by directory descriptors that never follow a link, so nothing can be written outside the output directory.
// The output is not synced. Trees may have any depth. Memory is bounded but for one entry for each directory and each
// inode with several names. A thread reads and checks ahead while the caller's writes; what is written, reported and
// counted is the same each time.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "store/base/status.h"
#include "store/format/ids.h"
#include "store/store.h"

namespace dkfs {

struct RestoreOptions {
  bool keep_going = false;         // go on after a problem with single files or blocks
  std::vector<std::string> paths;  // relative to the mounted directory; empty: everything
  // Both functions are called in the caller's thread. One line for each problem, naming the file, the offset where
  // known, and the moment.
  std::function<void(const std::string&)> on_problem = [](const std::string&) {};
  std::function<void(uint64_t files, uint64_t bytes)> on_progress = [](uint64_t, uint64_t) {};  // after each file
};

struct RestoreResult {
  uint64_t files = 0;     // inodes of any type
  uint64_t bytes = 0;     // data written, holes not counted
  uint64_t problems = 0;  // what on_problem was told of
};

// Writes into `out`, which must be new or an empty directory. Ok only when everything was written; otherwise the first
// problem (EUCLEAN when any was damage), and what could be written stays. EINVAL: `out` lies in the store, or a path
// has "..". ENOTEMPTY, ENOTDIR: `out` is no place for it. ENOENT: a path was not there at that moment.
Status RestoreTree(Store& store, Seq at, const std::string& out, const RestoreOptions& options, RestoreResult* result);

}  // namespace dkfs
