// The journal's tail, read without changing anything: what Journal::Open would replay, for a store opened read-only.
#pragma once

#include <string>

#include "store/base/status.h"
#include "store/format/segment.h"
#include "store/index/index.h"

namespace dkfs {

struct TailEnd {
  Seq last;       // the last Seq of the whole prefix
  Status damage;  // Corruption when records that had been synced are missing or damaged behind `last`
};
// Calls `each` for every record after `from`, in Seq order, up to the first gap (G3).
Status ReadTail(const std::string& journal_path, const Uuid& store, JournalPosition from, const Journal::Replay& each,
                TailEnd* end);

}  // namespace dkfs
