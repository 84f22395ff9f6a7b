// RestoreWalk: finds what is to be restored in the store, in the order of the tree, and reads it. Knows nothing of
// where it goes. Runs in one thread.
#pragma once

#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "store/replay/restore_steps.h"
#include "store/store.h"

namespace dkfs {

class RestoreWalk {
 public:
  RestoreWalk(Store& store, Seq at, RestoreQueue* queue) : store_(store), at_(at), queue_(*queue) {}
  // Below the root only these paths; none: everything. EINVAL: one has "..". REQUIRES: before Run.
  Status Want(const std::vector<std::string>& paths);
  // Pushes the steps for everything below the root directory, then finishes the queue.
  void Run();

 private:
  // What is wanted below a directory: all of it, or some names.
  struct Wanted {
    bool all = false;
    std::map<std::string, Wanted> names;
  };
  // Each is false once the queue was abandoned.
  bool Children(FileId dir, const std::string& path, const Wanted& wanted, int depth);
  bool AllChildren(FileId dir, const std::string& path, int depth);
  bool Child(FileId file, const std::string& name, const std::string& path, const Wanted& wanted, int depth);
  bool NonDirectory(FileId file, const InodeState& state, const std::string& name, const std::string& path);
  bool Content(FileId file, const InodeState& state, Status* status);
  bool End(FileId file, InodeState state, Status status, RestoreStep step);
  bool Problem(RestoreStep::Kind kind, const std::string& path, Status status);
  static Status AddWanted(const std::string& path, Wanted* root);

  Store& store_;
  const Seq at_;
  RestoreQueue& queue_;
  Wanted wanted_{true, {}};
  std::unordered_map<FileId, std::string> links_;  // inodes with several names: the path of the first
};

}  // namespace dkfs
