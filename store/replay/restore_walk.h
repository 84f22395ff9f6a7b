// RestoreWalk: finds what is to be restored in the store, in the order of the tree, and reads it. Knows nothing of
// where it goes. Runs in one thread.
#pragma once

#include <map>
#include <string>
#include <unordered_map>
#include <unordered_set>
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
  // A directory on the way to where the walk is.
  struct Level {
    FileId dir;
    InodeState state = {};
    std::string name = {};
    const Wanted* wanted = nullptr;
    std::vector<std::pair<std::string, FileId>> page = {};  // entries still to be walked, the last first
    EntryId after = {};
    bool more = true;  // entries behind the page
  };
  // Each is false once the queue was abandoned.
  bool NextPage(Level* level);
  bool WantedNames(Level* level);
  bool Child(FileId file, const std::string& name, const Wanted& wanted);
  bool Enter(FileId dir, const InodeState& state, const std::string& name, const Wanted& wanted);
  bool NonDirectory(FileId file, const InodeState& state, const std::string& name);
  bool Content(FileId file, const InodeState& state, Status* status);
  bool Leave();
  bool End(FileId file, InodeState state, Status status, RestoreStep step);
  bool Problem(RestoreStep::Kind kind, const std::string& name, Status status);
  std::string PathTo(const std::string& name) const;
  static Status AddWanted(const std::string& path, Wanted* root);

  Store& store_;
  const Seq at_;
  RestoreQueue& queue_;
  Wanted wanted_{true, {}};
  std::vector<Level> levels_;                      // the root first; trees may be deeper than any call stack
  std::unordered_set<FileId> entered_;             // directories: in a damaged store one may have several names
  std::unordered_map<FileId, std::string> links_;  // inodes with several names: the path of the first
};

}  // namespace dkfs
