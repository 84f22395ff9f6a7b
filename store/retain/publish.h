// Publish: makes the index point into a pack, and deletes the segments it replaces (T3).
//
//   1  one batch: "publishing" mark, the pack's segment row, its pins        a flush from here on may keep any part of
//   2 2  the pack is read back; each version's row is repointed to it; the rows that still point into the sources are
//   the
//      versions that are not needed: they go, and then the ranges that hide nothing any more
//   3  one batch: the mark, the sources' segment rows and their pins go
//   4  Index::Flush
//   5  the sources' files are deleted
//
// A crash before the flush that holds 3 leaves pack and sources, and an index where each row points to a place that
// exists; the mark then tells Load not to delete sources. Both kinds of segments are packed again later.
#pragma once

#include "store/retain/context.h"
#include "store/retain/pass.h"
#include "store/retain/pins.h"
#include "store/retain/sources.h"

namespace dkfs::retain {

class Publish {
 public:
  // `horizon` is at least that of the pass.
  Publish(const Context& context, Seq horizon, Pins* pins, const Sources* sources, const PassResult* pass)
      : context_(context), horizon_(horizon), pins_(pins), sources_(sources), pass_(pass) {}
  Status Enter();  // 1 to 4
  // 5; what could not be deleted is deleted by Load. `keep_files`: see Journal::Delete.
  Status DeleteSources(bool keep_files = false);

 private:
  Status Announce();
  Status RepointAll();
  Status PointHere(const keys::BlockKey& key, const BlockEntry& to);
  Status WriteRepoints();
  Status DropRest(const SegmentInfo& source);
  Status DropIfIn(SegmentId source, const keys::BlockKey& key);
  Status WriteDrops();
  void NoteRanges(const std::vector<Item>& items);
  Status DropRanges();
  Status Conclude();

  const Context& context_;
  const Seq horizon_;
  Pins* const pins_;
  const Sources* const sources_;
  const PassResult* const pass_;
  std::vector<Repoint> repoints_;
  KvBatch drops_;
  std::vector<std::pair<RangeItem, Seq>> ranges_;  // of the sources, at or below the horizon
};

// Removes the file of a segment that nothing points to any more. A missing one is no error.
Status DeleteSegment(const Context& context, SegmentId id, SegmentKind kind, bool keep_file = false);

}  // namespace dkfs::retain
