// How recovery tells the end from damage. Within one epoch records are written one after another, so after a kill the
// first place that is not the next record is the end. After loss of power unsynced pages may be missing while later
// ones are there: then valid records stand behind the gap. They are dropped, because G3 promises a prefix, unless
// something proves that the missing record had been synced:
//   - a record behind the gap carries a synced mark at or above the missing Seq;
//   - a later segment's header tells a first Seq above the missing one (J5);
//   - the segment before is cut, so it is whole and synced, yet the next one begins later: a segment file is missing;
//   - the durable index already holds the missing Seq.
// Then it is damage (G6), and Open fails naming segment, offset and Seq. The order of repair makes it repeatable:
// leftovers behind the gap go first, newest first, so that what is left is judged the same way again; the cut, the
// syncs, and only then (by the caller) a new segment.
//
// All that may hold the tail leaves memory before it is read: the tail is judged by what the disk holds.
#include "store/journal/recovery.h"

#include <fcntl.h>

#include <algorithm>

#include "store/base/fault.h"
#include "store/base/file.h"
#include "store/base/log.h"
#include "store/journal/segment_file.h"
#include "store/journal/segment_scan.h"

namespace dkfs {
namespace {

constexpr uint64_t kPreparedUnit = 4096;  // sizes of prepared files are multiples of it, ends of records seldom are

struct Found {
  std::string name;
  SegmentHeader header;
  uint64_t size = 0;
  uint64_t end = 0;        // of its records, where they were read up to it
  Seq first;               // 0: unknown, there is no record
  Seq last;                // known for the tail only
  bool leftovers = false;  // valid records stand behind the gap
};

Seq Next(Seq seq) { return Seq(seq.value + 1); }

class Recovery {
 public:
  Recovery(int dirfd, const Uuid& uuid, JournalPosition from, const Journal::Replay& replay)
      : dirfd_(dirfd), uuid_(uuid), from_(from), replay_(replay) {}

  Result<Recovered> Run() {
    DKFS_TRY(List());
    if (found_.empty() && from_.last == Seq{}) return Recovered{.next_id = next_id_};
    DKFS_TRY(FindStart());
    DKFS_TRY(ScanTail());
    DKFS_TRY(JudgeGap());
    DKFS_TRY(RemoveLeftovers());
    DKFS_TRY(CutAndSync());
    DKFS_TRY(TrimOlder());
    return Report();
  }

 private:
  Status List();
  void PrefetchFronts(const std::vector<std::string>& names) const;
  Status Add(const std::string& name);
  Status FindStart();
  Status ScanTail();
  Status ScanSegment(size_t i, bool* at_end);
  Status Take(const SegmentScan::Record& record, size_t i);
  Status JudgeGap();
  Status JudgeSegment(size_t i, uint64_t offset);
  Status RemoveLeftovers();
  Status CutAndSync();
  Status TrimOlder();
  Recovered Report() const;
  Status Damage(const std::string& why) const;

  const int dirfd_;
  const Uuid uuid_;
  const JournalPosition from_;
  const Journal::Replay& replay_;
  std::vector<Found> found_;  // journal segments in id order
  SegmentId next_id_{1};
  size_t start_ = 0;  // where the tail begins
  uint64_t start_offset_ = kSegmentHeaderBytes;
  Seq next_;         // the Seq looked for
  size_t keep_ = 0;  // the last segment kept, and its end
  uint64_t keep_end_ = 0;
  size_t gap_ = 0;  // where next_ should be
  uint64_t gap_offset_ = 0;
  std::string gap_why_ = "no record";
};

// The headers of all segments are read, here or by retention (packs): asked for at once, the disk works on many of them
// at a time.
void Recovery::PrefetchFronts(const std::vector<std::string>& names) const {
  constexpr off_t kFront = kSegmentHeaderBytes + kRecordHeaderBytes;
  for (const std::string& name : names) {
    SegmentId id;
    SegmentKind kind;
    if (!ParseSegmentName(name, &id, &kind).ok()) continue;
    const Result<UniqueFd> fd = file::OpenRegular(dirfd_, name);
    if (fd.ok()) ::posix_fadvise(fd->get(), 0, kFront, POSIX_FADV_WILLNEED);  // what is wrong shows when it is read
  }
}

Status Recovery::List() {
  DKFS_TRY_ASSIGN(std::vector<std::string> names, file::ListDir(dirfd_, "."));
  std::sort(names.begin(), names.end());  // names are of fixed width: id order
  PrefetchFronts(names);
  for (const std::string& name : names) {
    SegmentId id;
    SegmentKind kind;
    if (name == kSpareName || name == kReserveTempName || IsReuseName(name)) DKFS_TRY(file::RemoveTree(dirfd_, name));
    if (!ParseSegmentName(name, &id, &kind).ok()) continue;
    next_id_ = std::max(next_id_, SegmentId(id.value + 1));
    if (kind != SegmentKind::kJournal) continue;
    if (id >= from_.segment) DKFS_TRY(LeaveMemory(dirfd_, name));
    DKFS_TRY(Add(name));
  }
  return Status::Ok();
}

Status Recovery::Add(const std::string& name) {
  DKFS_TRY_ASSIGN(SegmentScan scan, SegmentScan::Open(dirfd_, name));
  if (scan.header().store != uuid_) return Status::Corruption(name + " at offset 0: belongs to another store");
  Found found{.name = name, .header = scan.header(), .size = scan.size(), .first = scan.header().first_seq, .last = {}};
  scan.SkipBodies();
  SegmentScan::Record record;
  DKFS_TRY_ASSIGN(const SegmentScan::Place place, scan.Next(&record));
  if (place == SegmentScan::Place::kRecord) found.first = record.header.seq;
  found_.push_back(std::move(found));
  return Status::Ok();
}

// Normally the segment of from_. When that was packed and deleted, the last one that begins at or before the next Seq.
Status Recovery::FindStart() {
  next_ = Next(from_.last);
  bool have = false;
  for (size_t i = 0; i < found_.size(); ++i) {
    if (from_.segment && found_[i].header.id == from_.segment) {
      start_ = i;
      start_offset_ = std::max<uint64_t>(from_.offset, kSegmentHeaderBytes);
      if (start_offset_ <= found_[i].size) return Status::Ok();
      return Status::Corruption(found_[i].name + " at offset " + std::to_string(found_[i].size) +
                                ": the file ends before Seq " + std::to_string(from_.last.value));
    }
    if (!found_[i].first || found_[i].first > next_) continue;
    start_ = i;
    have = true;
  }
  if (!have) {
    return Status::Corruption("journal: the segment with Seq " + std::to_string(next_.value) + " is missing (segment " +
                              std::to_string(from_.segment.value) + ")");
  }
  next_ = found_[start_].first;
  return Status::Ok();
}

Status Recovery::ScanTail() {
  keep_ = gap_ = start_;
  keep_end_ = gap_offset_ = start_offset_;
  for (size_t i = start_; i < found_.size(); ++i) {
    const bool begins_here = found_[i].first == next_;
    if (i > start_ && !begins_here && found_[i].first) break;
    if (i > start_ && begins_here) {  // the one before ended where it should
      gap_ = i;
      gap_offset_ = kSegmentHeaderBytes;
    }
    bool at_end = false;
    DKFS_TRY(ScanSegment(i, &at_end));
    if (!at_end) break;
  }
  return Status::Ok();
}

Status Recovery::ScanSegment(size_t i, bool* at_end) {
  DKFS_TRY_ASSIGN(SegmentScan scan, SegmentScan::Open(dirfd_, found_[i].name));
  if (i == start_) scan.Seek(start_offset_);
  for (SegmentScan::Record record;;) {
    DKFS_TRY_ASSIGN(const SegmentScan::Place place, scan.Next(&record));
    if (place == SegmentScan::Place::kRecord && record.header.seq == next_) {
      DKFS_TRY(Take(record, i));
      keep_ = gap_ = i;
      keep_end_ = gap_offset_ = scan.offset();
      continue;
    }
    *at_end = place == SegmentScan::Place::kEnd;
    found_[i].end = scan.offset();
    if (!*at_end) {
      gap_ = i;
      gap_offset_ = place == SegmentScan::Place::kRecord ? record.offset : scan.offset();
      gap_why_ = place == SegmentScan::Place::kRecord ? "another Seq" : scan.damage();
    }
    return Status::Ok();
  }
}

Status Recovery::Take(const SegmentScan::Record& record, size_t i) {
  found_[i].last = next_;
  next_ = Next(next_);
  if (record.header.seq <= from_.last) return Status::Ok();
  return replay_(record.header, AppendedAt(record.header, found_[i].header.id, record.offset), record.body);
}

Status Recovery::Damage(const std::string& why) const {
  return Status::Corruption(found_[gap_].name + " at offset " + std::to_string(gap_offset_) + ": Seq " +
                            std::to_string(next_.value) + " is missing or damaged (" + gap_why_ + "), but " + why);
}

Status Recovery::JudgeGap() {
  if (next_ <= from_.last) return Damage("the index holds it");
  DKFS_TRY(JudgeSegment(gap_, gap_offset_));
  for (size_t i = gap_ + 1; i < found_.size(); ++i) {
    if (found_[i].header.first_seq > next_) return Damage(found_[i].name + " was begun after it was synced");
    if (i == gap_ + 1 && gap_offset_ == found_[gap_].size && gap_offset_ % kPreparedUnit != 0 &&
        found_[i].first > next_) {
      return Damage("its segment is sealed and the next one begins later: a segment file is missing");
    }
    DKFS_TRY(JudgeSegment(i, kSegmentHeaderBytes));
  }
  return Status::Ok();
}

// Looks through everything from `offset` on for records that should not be there, or that prove the gap impossible.
Status Recovery::JudgeSegment(size_t i, uint64_t offset) {
  DKFS_TRY_ASSIGN(SegmentScan scan, SegmentScan::Open(dirfd_, found_[i].name));
  scan.Seek(offset);
  for (SegmentScan::Record record;;) {
    DKFS_TRY_ASSIGN(const SegmentScan::Place place, scan.Next(&record));
    if (record.header.seq) {
      found_[i].leftovers = true;
      if (record.header.seq < next_)
        return Damage("Seq " + std::to_string(record.header.seq.value) + " stands behind it");
      if (record.header.synced >= next_) {
        return Damage("Seq " + std::to_string(record.header.seq.value) + " says that it was synced");
      }
    }
    if (place == SegmentScan::Place::kRecord) continue;
    DKFS_TRY_ASSIGN(const bool more, scan.FindNext());
    if (!more) return Status::Ok();
  }
}

Status Recovery::RemoveLeftovers() {
  while (found_.size() > keep_ + 1) {
    const bool any = std::any_of(found_.begin() + static_cast<ptrdiff_t>(keep_) + 1, found_.end(),
                                 [](const Found& f) { return f.leftovers; });
    if (!any) break;
    Log(LogLevel::kInfo, "journal_leftover_removed", {{"segment", found_.back().name}, {"after_seq", next_.value - 1}});
    DKFS_TRY(Fault::Pass("journal.recover"));
    DKFS_TRY(file::Unlink(dirfd_, found_.back().name));
    DKFS_TRY(file::SyncDir(dirfd_, "."));
    found_.pop_back();
  }
  return Status::Ok();
}

Status Recovery::CutAndSync() {
  for (size_t i = start_; i <= keep_; ++i) {
    DKFS_TRY_ASSIGN(const UniqueFd fd, file::Open(dirfd_, found_[i].name, O_RDWR));
    // Those before the last were read as records up to where the zeros begin.
    const uint64_t end = i < keep_ ? found_[i].end : keep_end_;
    DKFS_TRY(Fault::Pass("journal.recover"));
    if (found_[i].size != end) DKFS_TRY(file::Truncate(fd.get(), end, found_[i].name));
    DKFS_TRY(file::Sync(fd.get(), found_[i].name));
    found_[i].size = end;
  }
  return file::SyncDir(dirfd_, ".");
}

// A segment before the tail that was full but not yet sealed when the process ended: its zeros are cut off.
Status Recovery::TrimOlder() {
  for (size_t i = 0; i < start_; ++i) {
    if (found_[i].size % kPreparedUnit != 0) continue;
    DKFS_TRY_ASSIGN(SegmentScan scan, SegmentScan::Open(dirfd_, found_[i].name));
    scan.SkipBodies();
    SegmentScan::Place place = SegmentScan::Place::kRecord;
    for (SegmentScan::Record record; place == SegmentScan::Place::kRecord;) {
      DKFS_TRY_ASSIGN(place, scan.Next(&record));
    }
    if (place != SegmentScan::Place::kEnd || scan.AtEof()) continue;  // damage stays as it is, for verify
    const uint64_t end = scan.offset();
    DKFS_TRY_ASSIGN(const bool more, scan.FindNext());
    if (more) continue;
    DKFS_TRY_ASSIGN(const UniqueFd fd, file::Open(dirfd_, found_[i].name, O_RDWR));
    DKFS_TRY(file::Truncate(fd.get(), end, found_[i].name));
    DKFS_TRY(file::Sync(fd.get(), found_[i].name));
    found_[i].size = end;
  }
  return Status::Ok();
}

Recovered Recovery::Report() const {
  Recovered out{.last = Seq(next_.value - 1), .next_id = next_id_};
  Seq behind = next_;  // the first Seq of the segment behind the one looked at
  for (size_t i = found_.size(); i-- > 0;) {
    const Found& f = found_[i];
    out.epoch = std::max(out.epoch, f.header.epoch);
    const bool empty = f.size <= kSegmentHeaderBytes;
    if (i > keep_ || (i >= start_ && empty)) {
      out.blanks.push_back(f.header.id);
      continue;
    }
    SegmentInfo info{.id = f.header.id, .first = f.first, .last = Seq(behind.value - 1), .bytes = f.size};
    if (empty) info.first = info.last = Seq{};
    if (f.last) info.last = f.last;
    if (!empty && f.first) behind = f.first;
    out.sealed.push_back(info);
  }
  std::reverse(out.sealed.begin(), out.sealed.end());
  return out;
}

}  // namespace

Status LeaveMemory(int dirfd, const std::string& name) {
  DKFS_TRY_ASSIGN(const UniqueFd fd, file::OpenRegular(dirfd, name));
  DKFS_TRY(file::Sync(fd.get(), name));
  file::DropCached(fd.get());
  return Status::Ok();
}

Result<Recovered> RecoverJournal(int dirfd, const Uuid& uuid, JournalPosition from, const Journal::Replay& replay) {
  return Recovery(dirfd, uuid, from, replay).Run();
}

}  // namespace dkfs
