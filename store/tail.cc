#include "store/tail.h"

#include <algorithm>

#include "store/record_scan.h"

namespace dkfs {
namespace {

// Walks the segments in order. Once a record is not where it should be the prefix has ended; what follows is only looked
// at for a mark that says the missing one had been synced.
class TailReader {
 public:
  TailReader(JournalPosition from, const Journal::Replay& each, TailEnd* end) : from_(from), each_(each), end_(end) {
    end_->last = from.last;
  }

  Status Segment(const std::string& journal_path, const ListedSegment& segment, const Uuid& store) {
    Result<RecordScan> scan = RecordScan::Open(journal_path, segment, store);
    if (!scan.ok()) {
      if (!scan.status().IsCorruption()) return scan.status();
      Ended(scan.status());
      return Status::Ok();
    }
    if (segment.id == from_.segment && from_.offset >= kSegmentHeaderBytes) scan->Seek(from_.offset);
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
    if (synced_ > end_->last) {
      Ended(Status::Corruption("records are missing"));
      end_->damage = why_.Prefix("the journal ends at seq " + std::to_string(end_->last.value) + " although seq " +
                                 std::to_string(synced_.value) + " had been synced");
    }
  }

 private:
  Status Take(SegmentId id, const RecordScan::Record& record) {
    synced_ = std::max(synced_, record.header.synced);
    if (record.header.seq <= end_->last) return Status::Ok();
    if (record.header.seq.value != end_->last.value + 1) Ended(Status::Corruption("a record is missing"));
    if (ended_) return Status::Ok();
    const Appended at{record.header.seq, id, static_cast<uint32_t>(record.offset), record.header.length, record.header.time};
    DKFS_TRY(each_(record.header, at, record.body));
    end_->last = record.header.seq;
    return Status::Ok();
  }

  void Ended(const Status& why) {
    if (!ended_) why_ = why;
    ended_ = true;
  }

  const JournalPosition from_;
  const Journal::Replay& each_;
  TailEnd* const end_;
  Seq synced_;
  bool ended_ = false;
  Status why_;
};

}  // namespace

Status ReadTail(const std::string& journal_path, const Uuid& store, JournalPosition from, const Journal::Replay& each,
                TailEnd* end) {
  TailReader reader(from, each, end);
  Result<std::vector<ListedSegment>> segments = ListSegments(journal_path);
  if (!segments.ok() && !segments.status().IsNotFound()) return segments.status();
  if (segments.ok()) {
    for (const ListedSegment& segment : *segments) {
      if (segment.kind == SegmentKind::kJournal && segment.id >= from.segment) DKFS_TRY(reader.Segment(journal_path, segment, store));
    }
  }
  reader.Finish();
  return Status::Ok();
}

}  // namespace dkfs
