#include "store/rebuild.h"

#include <algorithm>
#include <map>
#include <set>

#include "store/record_scan.h"
#include "store/replay/unit.h"
#include "store/retain/meta.h"
#include "store/retain/pins.h"

namespace dkfs {
namespace {

constexpr uint64_t kFlushAtBytes = 24 << 20;

// Ranges of Seqs whose records packs hold.
class PackedSeqs {
 public:
  void Add(Seq first, uint64_t count) {
    if (count == 0) return;
    uint64_t& end = ends_[first.value];
    end = std::max(end, first.value + count);
  }
  Seq last() const {
    uint64_t highest = 1;
    for (const auto& [from, end] : ends_) highest = std::max(highest, end);
    return Seq{highest - 1};
  }
  bool Covers(Seq first, Seq last) const {
    uint64_t next = first.value;
    for (const auto& [from, end] : ends_) {
      if (from <= next && next < end) next = end;
    }
    return next > last.value;
  }

 private:
  std::map<uint64_t, uint64_t> ends_;  // first -> one past the last
};

class Rebuilder {
 public:
  Rebuilder(const std::string& journal_path, const Uuid& store, Index* index)
      : journal_path_(journal_path), store_(store), index_(index) {}

  Status Run(TailEnd* end) {
    Result<std::vector<ListedSegment>> segments = ListSegments(journal_path_);
    if (!segments.ok()) return segments.status().IsNotFound() ? Status::Ok() : segments.status();
    std::vector<ListedSegment> packs;
    for (const ListedSegment& segment : *segments) {
      if (segment.kind == SegmentKind::kPack) packs.push_back(segment);
    }
    Status damage;
    for (const ListedSegment& pack : packs) NoteSources(pack, &damage);
    for (const ListedSegment& pack : packs) {
      if (damage.ok() && !replaced_.contains(pack.id)) damage = Pack(pack);
    }
    if (!damage.ok()) {
      if (!damage.IsCorruption()) return damage;
      end->damage = damage;
      return Status::Ok();
    }
    DKFS_TRY(WriteHorizon());
    DKFS_TRY(Journal(end));
    DKFS_TRY(index_->ApplyAll());
    return packs.empty() || !end->damage.ok() ? Status::Ok() : CheckRoot(end);
  }

 private:
  // A segment whose place a pack took is passed over: it may hold what retention has dropped since.
  void NoteSources(const ListedSegment& pack, Status* damage) {
    Result<RecordScan> scan = RecordScan::Open(journal_path_, pack, store_);
    if (!scan.ok()) {
      *damage = scan.status();
      return;
    }
    replaced_.insert(scan->header().sources.begin(), scan->header().sources.end());
    index_->RaiseIds(scan->header().max_file, scan->header().max_entry);
  }

  Status Pack(const ListedSegment& pack) {
    DKFS_TRY_ASSIGN(RecordScan scan, RecordScan::Open(journal_path_, pack, store_));
    SegmentValue row{static_cast<uint32_t>(SegmentKind::kPack), scan.header().first_seq, Seq{}, scan.size()};
    std::set<retain::Pins::Moment> pinned;
    for (;;) {
      RecordScan::Record record;
      DKFS_TRY_ASSIGN(bool more, scan.Next(&record));
      if (!more) break;
      std::vector<Item> items;
      DKFS_TRY(DecodeItems(record.body, &items));
      for (const Item& item : items) DKFS_TRY(Note(item, &pinned));
      row.last = std::max(row.last, record.header.seq);
      index_->Enqueue(AppendedAt(record.header, pack.id, record.offset, SegmentKind::kPack), std::move(items));
      DKFS_TRY(FlushWhenLarge());
    }
    KvBatch batch;
    batch.Put(Family::kSegment, keys::Segment(pack.id), values::Encode(row));
    retain::Pins().Add(pack.id, pinned, &batch);
    return index_->Write(&batch);
  }

  // What the index holds of a pack beside the rows of its items.
  Status Note(const Item& item, std::set<retain::Pins::Moment>* pinned) {
    if (const auto* moments = std::get_if<MomentsItem>(&item.body)) {
      packed_.Add(moments->first, moments->times.size());
      if (moments->times.empty()) horizon_ = std::max(horizon_, moments->first);  // retain/pass.cc
    }
    const auto* blocks = std::get_if<BlocksItem>(&item.body);
    if (blocks == nullptr) return Status::Ok();
    size_t at = 0;
    for (const BlockVersion& version : blocks->versions) {
      if (version.kind == BlockKind::kUnit && version.stored_bytes > 0) {
        UnitHeader unit;
        Bytes delta;
        DKFS_TRY(DecodeUnit(item.payload.subspan(at, version.stored_bytes), &unit, &delta));
        pinned->insert({unit.base_file, unit.base_seq});
      }
      at += version.stored_bytes;
    }
    return Status::Ok();
  }

  Status WriteHorizon() {
    if (!horizon_) return Status::Ok();
    KvBatch batch;
    batch.Put(Family::kMeta, retain::meta::kHorizon, retain::meta::Value(horizon_.value));
    return index_->Write(&batch);
  }

  Status Journal(TailEnd* end) {
    TailOptions options;
    options.skip = [this](SegmentId id) { return replaced_.contains(id); };
    // Below the horizon not even the times of records are kept.
    options.packed = [this](Seq first, Seq last) { return packed_.Covers(std::max(first, horizon_), last); };
    const auto feed = [this](const Appended& at, Bytes body) -> Status {
      std::vector<Item> items;
      DKFS_TRY(DecodeItems(body, &items));
      index_->Enqueue(at, std::move(items));
      return FlushWhenLarge();
    };
    DKFS_TRY(ReadTail(journal_path_, store_, options, feed, end));
    // The newest records may be in packs alone.
    if (end->damage.ok() && end->position.last < packed_.last()) end->position = {packed_.last(), SegmentId{}, 0};
    return Status::Ok();
  }

  // What a lost pack held below the horizon is missed by no count of Seqs. The root is what must always be there.
  Status CheckRoot(TailEnd* end) {
    const Status root = index_->Inode(kRootFile, kLatest).status();
    if (!root.IsNotFound()) return root;
    end->damage = Status::Corruption("nothing is known of the root directory: a pack is missing");
    end->position = {};
    return Status::Ok();
  }

  Status FlushWhenLarge() {
    if (index_->QueuedBytes() > (1 << 20)) DKFS_TRY(index_->ApplyAll());
    if (index_->kv()->MemoryBytes() < kFlushAtBytes) return Status::Ok();
    // Not synced yet, but an unfinished index is not believed anyway.
    return index_->Flush([](Seq) { return Status::Ok(); });
  }

  const std::string& journal_path_;
  const Uuid& store_;
  Index* const index_;
  std::set<SegmentId> replaced_;
  PackedSeqs packed_;
  Seq horizon_;
};

}  // namespace

Status RebuildIndex(const std::string& journal_path, const Uuid& store, Index* index, TailEnd* end) {
  DKFS_TRY(Rebuilder(journal_path, store, index).Run(end));
  DKFS_TRY(index->ApplyAll());
  index->ContinueAt(end->position);
  return Status::Ok();
}

}  // namespace dkfs
