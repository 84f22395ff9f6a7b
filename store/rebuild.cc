#include "store/rebuild.h"

#include <algorithm>
#include <map>
#include <set>

#include "store/record_scan.h"

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
    return Journal(end);
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
  }

  Status Pack(const ListedSegment& pack) {
    DKFS_TRY_ASSIGN(RecordScan scan, RecordScan::Open(journal_path_, pack, store_));
    for (;;) {
      RecordScan::Record record;
      DKFS_TRY_ASSIGN(bool more, scan.Next(&record));
      if (!more) break;
      std::vector<Item> items;
      DKFS_TRY(DecodeItems(record.body, &items));
      for (const Item& item : items) {
        if (const auto* moments = std::get_if<MomentsItem>(&item.body)) packed_.Add(moments->first, moments->times.size());
      }
      if (!items.empty()) return Status::Error(ENOTSUP, pack.name + ": rebuilding from packs");
      DKFS_TRY(FlushWhenLarge());
    }
    return Status::Ok();
  }

  Status Journal(TailEnd* end) {
    TailOptions options;
    options.skip = [this](SegmentId id) { return replaced_.contains(id); };
    options.packed = [this](Seq first, Seq last) { return packed_.Covers(first, last); };
    return ReadTail(journal_path_, store_, options,
                    [this](const RecordHeader&, const Appended& at, Bytes body) -> Status {
                      std::vector<Item> items;
                      DKFS_TRY(DecodeItems(body, &items));
                      index_->Enqueue(at, std::move(items));
                      return FlushWhenLarge();
                    },
                    end);
  }

  Status FlushWhenLarge() {
    if (index_->QueuedBytes() > (1 << 20)) DKFS_TRY(index_->ApplyAll());
    if (index_->kv()->MemoryBytes() < kFlushAtBytes) return Status::Ok();
    DKFS_TRY(index_->kv()->BeginFlush());
    return index_->kv()->FinishFlush();
  }

  const std::string& journal_path_;
  const Uuid& store_;
  Index* const index_;
  std::set<SegmentId> replaced_;
  PackedSeqs packed_;
};

}  // namespace

Status RebuildIndex(const std::string& journal_path, const Uuid& store, Index* index, TailEnd* end) {
  DKFS_TRY(Rebuilder(journal_path, store, index).Run(end));
  return index->ApplyAll();
}

}  // namespace dkfs
