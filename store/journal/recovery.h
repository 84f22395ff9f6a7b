// Recovery: what stands in a journal directory after any end, and how it becomes a prefix again (J5).
#pragma once

#include <string>
#include <vector>

#include "store/journal/journal.h"

namespace dkfs {

struct Recovered {
  Seq last = {};                         // of the prefix that is kept; all of it is synced
  uint64_t epoch = 0;                    // the highest found
  SegmentId next_id{1};                  // above every segment and pack there
  std::vector<SegmentInfo> sealed = {};  // oldest first
  std::vector<SegmentId> blanks = {};    // without a record; to be removed once a newer segment is durable
};

// Syncs a segment, then lets its pages leave memory, so that what is read is what the disk holds: what the kernel could
// not write it keeps as if it had been written, and a later sync of it succeeds.
Status LeaveMemory(int dirfd, const std::string& name);

// Reads the tail after `from`, calls `replay` for each of its records, cuts, removes and syncs. May be killed anywhere
// and run again. Errors as for Journal::Open.
Result<Recovered> RecoverJournal(int dirfd, const Uuid& uuid, JournalPosition from, const Journal::Replay& replay);

}  // namespace dkfs
