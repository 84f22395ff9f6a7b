// Every segment, record by record: is it whole, is it in order, and does the index know what it says?
#include <set>

#include "store/record_scan.h"
#include "store/verify/checker.h"

namespace dkfs::verify {

class SegmentCheck {
 public:
  explicit SegmentCheck(Checker* checker)
      : checker_(*checker),
        kv_(*checker->parts_.index->kv()),
        journal_(checker->store_->path() + "/journal"),
        tail_(checker->parts_.index->recovered()),
        horizon_(checker->oldest()),
        last_(checker->newest()) {}

  Status Run() {
    Result<std::vector<ListedSegment>> segments = ListSegments(journal_);
    if (!segments.ok() && !segments.status().IsNotFound()) return segments.status();
    if (segments.ok()) {
      for (const ListedSegment& segment : *segments) DKFS_TRY(Segment(segment));
    } else {
      checker_.Damage(journal_ + ": the folder of the segments is missing");
    }
    DKFS_TRY(Rows());
    for (const auto& [seq, text] : missing_) {
      if (!voided_.contains(seq)) checker_.Damage(text);
    }
    return Status::Ok();
  }

 private:
  Status Segment(const ListedSegment& segment) {
    ++checker_.result_.segments;
    Result<RecordScan> scan = RecordScan::Open(journal_, segment, checker_.parts_.dir->uuid());
    if (!scan.ok()) {
      checker_.Damage(scan.status().ToString());
      return scan.status().IsCorruption() ? Status::Ok() : scan.status();
    }
    checker_.segment_sizes_[segment.id.value] = scan->size();
    checker_.segment_names_[segment.id.value] = segment.name;
    Seq previous;
    for (;;) {
      RecordScan::Record record;
      Result<bool> next = scan->Next(&record);
      if (next.ok() && !*next) {
        const uint64_t end = scan->offset();
        DKFS_TRY_ASSIGN(const bool more, scan->FindNext());
        if (!more) return Status::Ok();
        if (!InTail(segment, end)) {
          checker_.Damage(journal_ + "/" + segment.name + " at offset " + std::to_string(end) +
                          ": zeros stand where a record was");
        }
        previous = Seq{};
        continue;
      }
      if (next.ok()) {
        DKFS_TRY(Record(segment, record, &previous));
        continue;
      }
      if (!next.status().IsCorruption()) return next.status();
      const bool tail = InTail(segment, scan->offset());
      DKFS_TRY_ASSIGN(bool more, scan->FindNext());
      if (!tail) checker_.Damage(next.status().ToString());
      previous = Seq{};
      if (!more) return Status::Ok();
    }
  }

  // In the tail records end where the first whole one is missing. What stands there, or behind it, is what was being
  // written when the machine stopped; opening has looked whether it proves that more had been synced (store/tail.cc).
  bool InTail(const ListedSegment& segment, uint64_t offset) const {
    if (segment.kind != SegmentKind::kJournal) return false;
    return segment.id > tail_.segment || (segment.id == tail_.segment && offset >= tail_.offset);
  }

  Status Record(const ListedSegment& segment, const RecordScan::Record& record, Seq* previous) {
    ++checker_.result_.records;
    const std::string where = journal_ + "/" + segment.name + " at offset " + std::to_string(record.offset);
    const Seq seq = record.header.seq;
    const bool journal = segment.kind == SegmentKind::kJournal;
    if (seq > last_ && InTail(segment, record.offset)) return Status::Ok();
    if (journal && *previous && seq.value != previous->value + 1) {
      checker_.Damage(where + ": seq " + std::to_string(seq.value) + " follows seq " + std::to_string(previous->value));
    }
    if (journal) *previous = seq;
    std::vector<Item> items;
    Status decoded = DecodeItems(record.body, &items);
    if (!decoded.ok()) {
      checker_.Damage(where + ": " + decoded.ToString());
      return Status::Ok();
    }
    for (const Item& item : items) DKFS_TRY(CheckItem(item, item.as_of ? item.as_of : seq, where));
    return Status::Ok();
  }

  // What a moment that can be restored may need must stand in the index. At or below the horizon retention decides.
  Status CheckItem(const Item& item, Seq seq, const std::string& where) {
    if (const auto* voided = std::get_if<VoidItem>(&item.body)) voided_.insert(voided->seq);
    if (seq <= horizon_ || seq > last_) return Status::Ok();
    if (const auto* inode = std::get_if<InodeItem>(&item.body)) {
      return Expect(Family::kInode, keys::Inode(inode->file, seq), seq, where, "inode", inode->file);
    }
    if (const auto* name = std::get_if<NameItem>(&item.body)) {
      DKFS_TRY(Expect(Family::kName, keys::Name(name->parent, name->name, seq), seq, where,
                      "name '" + name->name + "' in", name->parent));
      return Expect(Family::kEntry, keys::Entry(name->parent, name->entry, seq), seq, where,
                    "entry '" + name->name + "' in", name->parent);
    }
    if (const auto* xattr = std::get_if<XattrItem>(&item.body)) {
      return Expect(Family::kXattr, keys::Xattr(xattr->file, xattr->name, seq), seq, where,
                    "attribute " + xattr->name + " of", xattr->file);
    }
    if (const auto* blocks = std::get_if<BlocksItem>(&item.body)) {
      for (size_t i = 0; i < blocks->versions.size(); ++i) {
        const uint64_t block = blocks->first + i;
        DKFS_TRY(Expect(Family::kBlock, keys::Block(blocks->file, blocks->layout, block, seq), seq, where,
                        "block " + std::to_string(block) + " of", blocks->file));
      }
    }
    return Status::Ok();
  }

  Status Expect(Family family, const std::string& key, Seq seq, const std::string& where, const std::string& what,
                FileId file) {
    Result<std::string> row = kv_.Get(family, key);
    if (row.ok()) return Status::Ok();
    if (!row.status().IsNotFound() && !row.status().IsCorruption()) return row.status();
    // A record voided later has no rows; its void is only met behind it.
    if (missing_.size() < kMaxMissing) {
      missing_.emplace(seq, where + ": " + what + " " + checker_.Name(file, seq) + " is not in the index");
    }
    return Status::Ok();
  }

  // The segments that the index counts on.
  Status Rows() {
    KvCursor cursor = kv_.NewCursor(Family::kSegment);
    for (cursor.SeekToFirst(); cursor.Valid(); cursor.Next()) {
      SegmentId id;
      SegmentValue value;
      Status status = keys::ParseSegment(AsBytes(cursor.key()), &id);
      if (status.ok()) status = values::Decode(AsBytes(cursor.value()), &value);
      if (!status.ok()) {
        checker_.Damage("index: segment row: " + status.ToString());
      } else {
        Row(id, value);
      }
    }
    return cursor.status();
  }

  void Row(SegmentId id, const SegmentValue& value) {
    const auto kind = static_cast<SegmentKind>(value.kind);
    checker_.segment_names_.try_emplace(id.value, SegmentName(id, kind));
    const auto there = checker_.segment_sizes_.find(id.value);
    const bool cut =
        there != checker_.segment_sizes_.end() && kind == SegmentKind::kPack && there->second < value.bytes;
    if (there != checker_.segment_sizes_.end() && !cut) return;
    checker_.Damage(journal_ + "/" + SegmentName(id, kind) +
                    (cut ? ": the pack is cut short" : ": segment is missing"));
  }

  static constexpr size_t kMaxMissing = 10'000;  // more tell nothing new
  Checker& checker_;
  const Kv& kv_;
  const std::string journal_;
  const JournalPosition tail_;
  const Seq horizon_, last_;
  std::multimap<Seq, std::string> missing_;
  std::set<Seq> voided_;
};

Status Checker::Segments() { return SegmentCheck(this).Run(); }

}  // namespace dkfs::verify
