// Dead entries: ranges of a directory's entries of which none is alive, so that a listing passes each with one seek. A
// directory in which files come and go has rows of all its former entries for as long as history is retained: a
// rollback journal for each transaction makes a million in an hour.
//
// A range stays true, because an entry that ended does not come back and new entries are recorded in the order of their
// ids. Only a void brings an entry back; then all is forgotten. It is kept in memory alone.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "store/base/mutex.h"
#include "store/format/ids.h"

namespace dkfs {

// Thread-safe.
class DeadEntries {
 public:
  static constexpr size_t kLeastRun = 64;             // shorter ones are walked
  static constexpr size_t kMostRanges = 65536;        // of all directories; beyond, they are looked for again
  static constexpr uint64_t kEndedForListing = 4096;  // and as many as the last listing found alive

  struct Range {
    uint64_t first, last;  // EntryIds, both dead
    friend bool operator==(const Range&, const Range&) = default;
  };
  struct Known {
    std::vector<Range> ranges;  // in order
    uint64_t age = 0;           // how often all was forgotten before
  };
  Known Of(FileId parent) const;
  // Runs of dead entries, in order, that a listing found which began with `known`.
  void Found(FileId parent, const Known& known, const std::vector<Range>& runs);
  void Forget();

  void Ended(FileId parent);                   // one entry more
  std::vector<FileId> TakeDue();               // directories of which so many ended that listing them is due
  void Listed(FileId parent, uint64_t alive);  // for that reason; so many were found

 private:
  struct Count {
    uint64_t ended = 0, due_at = kEndedForListing;
  };
  mutable Mutex mutex_;
  std::unordered_map<FileId, std::vector<Range>> ranges_ GUARDED_BY(mutex_);
  size_t range_count_ GUARDED_BY(mutex_) = 0;
  uint64_t age_ GUARDED_BY(mutex_) = 0;
  std::unordered_map<FileId, Count> counts_ GUARDED_BY(mutex_);
  std::vector<FileId> due_ GUARDED_BY(mutex_);
};

}  // namespace dkfs
