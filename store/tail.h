// The journal's records read without changing anything: what Journal::Open would replay, for a store opened read-only,
// and for rebuilding the index.
#pragma once

#include <functional>
#include <string>

#include "store/base/status.h"
#include "store/format/segment.h"
#include "store/index/index.h"
#include "store/record_scan.h"

namespace dkfs {

struct TailEnd {
  JournalPosition position;  // behind the last record of the whole prefix
  Status damage;             // Corruption when records that had been synced are missing or damaged behind it
};

struct TailOptions {
  JournalPosition from;
  std::function<bool(SegmentId)> skip = [](SegmentId) { return false; };
  // True when the records [first, last] are missing from the journal because packs took their place.
  std::function<bool(Seq first, Seq last)> packed = [](Seq, Seq) { return false; };
};

using ReplayBody = std::function<Status(const Appended&, Bytes body)>;

// Calls `each` for every record after `from`, in Seq order, up to the first gap (G3).
Status ReadTail(const std::string& journal_path, const Uuid& store, const TailOptions& options, const ReplayBody& each,
                TailEnd* end);

}  // namespace dkfs
