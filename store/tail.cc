#include "store/tail.h"

#include <algorithm>

namespace dkfs {
namespace {

// Walks the segments in order. Once a record is not where it should be the prefix has ended; what follows is only
// looked at for a proof that the missing one had been synced: a mark in a later record, a higher epoch (journal.h, J5),
// or a header that is not whole.
class TailReader {
 public:
  TailReader(const TailOptions& options, const ReplayBody& each, TailEnd* end)
      : options_(options), each_(each), end_(end) {
    end_->position = options.from;
  }

  Status Segment(const std::string& journal_path, const ListedSegment& segment, const Uuid& store) {
    Result<RecordScan> scan = RecordScan::Open(journal_path, segment, store);
    if (!scan.ok()) {
      if (!scan.status().IsCorruption()) return scan.status();
      Ended(scan.status());
      proven_lost_ = true;  // a header is durable before its segment has a name
      return Status::Ok();
    }
    if (scan->header().epoch > epoch_ && ended_) proven_lost_ = true;
    epoch_ = std::max(epoch_, scan->header().epoch);
    if (segment.id == options_.from.segment && options_.from.offset >= kSegmentHeaderBytes)
      scan->Seek(options_.from.offset);
    for (;;) {
      RecordScan::Record record;
      Result<bool> next = scan->Next(&record);
      if (next.ok()) {
        if (!*next) return Status::Ok();
        DKFS_TRY(Take(segment.id, record));
        continue;
      }
      if (!next.status().IsCorruption()) return next.status();
      Ended(next.status());
      DKFS_TRY_ASSIGN(bool more, scan->FindNext());
      if (!more) return Status::Ok();
    }
  }

  void Finish() {
    if (synced_ <= last() && !proven_lost_) return;
    Ended(Status::Corruption("records are missing"));
    end_->damage = why_.Prefix("the journal's whole records end at seq " + std::to_string(last().value) +
                               " although more had been synced");
  }

 private:
  Seq last() const { return end_->position.last; }

  Status Take(SegmentId id, const RecordScan::Record& record) {
    const Seq seq = record.header.seq;
    synced_ = std::max(synced_, record.header.synced);
    if (seq <= last()) return Status::Ok();
    const bool follows = seq.value == last().value + 1;
    if (!follows && !options_.packed(Seq{last().value + 1}, Seq{seq.value - 1})) {
      Ended(Status::Corruption("seq " + std::to_string(last().value + 1) + " is missing"));
    }
    if (ended_) return Status::Ok();
    DKFS_TRY(each_(AppendedAt(record.header, id, record.offset), record.body));
    end_->position = {seq, id, record.offset + record.header.length};
    return Status::Ok();
  }

  void Ended(const Status& why) {
    if (!ended_) why_ = why;
    ended_ = true;
  }

  const TailOptions& options_;
  const ReplayBody& each_;
  TailEnd* const end_;
  Seq synced_;
  uint64_t epoch_ = 0;
  bool ended_ = false;
  bool proven_lost_ = false;
  Status why_;
};

}  // namespace

Status ReadTail(const std::string& journal_path, const Uuid& store, const TailOptions& options, const ReplayBody& each,
                TailEnd* end) {
  TailReader reader(options, each, end);
  Result<std::vector<ListedSegment>> segments = ListSegments(journal_path);
  if (!segments.ok() && !segments.status().IsNotFound()) return segments.status();
  if (segments.ok()) {
    for (const ListedSegment& segment : *segments) {
      if (segment.kind != SegmentKind::kJournal || segment.id < options.from.segment || options.skip(segment.id))
        continue;
      DKFS_TRY(reader.Segment(journal_path, segment, store));
    }
  }
  reader.Finish();
  return Status::Ok();
}

}  // namespace dkfs
