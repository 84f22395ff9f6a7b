// Rebuilding the index from the segments alone: packs first, then journal segments, in SegmentId order.
#pragma once

#include <string>

#include "store/base/status.h"
#include "store/format/segment.h"
#include "store/index/index.h"
#include "store/tail.h"

namespace dkfs {

// Applies everything to the (empty) index, flushing it as it grows; the caller sees to it that an unfinished one is not
// believed. `end` says where the journal goes on and whether the segments hold the whole order: a damaged or missing
// segment ends the prefix there, as later records may have changed what it held.
Status RebuildIndex(const std::string& journal_path, const Uuid& store, Index* index, TailEnd* end);

}  // namespace dkfs
