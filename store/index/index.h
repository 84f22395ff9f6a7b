// The index: RocksDB entries made from records, and the questions asked of them.
//
// Records are enqueued in Seq order as they are appended and applied in batches: by a background thread, or by whoever
// asks something that the queue may change (so a reader never waits for another thread, and never misses a record).
// The rows are a pure function of the items (store/index/rows.h), so packs and segments may be applied in any order
// when an index is rebuilt. docs/decisions/0002-index-applied-by-whoever-asks.md.
//
// Invariants
//   X1  applied() is the highest Seq whose items, and all items of lower Seqs, are in the memtables.
//   X2  A flush becomes durable only after the journal has synced every record it holds. So no phantom of a lost record
//       survives in the index.
//   X3  The durable meta row says exactly which Seq the flushed families hold, and where the journal goes on after it.
//   X4  The queue is bounded in bytes: whoever appends while OverLimit() applies before it returns (back-pressure).
//
// Thread-safety: every function may be called from any thread. No lock is held while `each` runs. A failed apply leaves
// the queue as it was; the next caller tries again.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "store/base/mutex.h"
#include "store/base/status.h"
#include "store/format/item.h"
#include "store/format/keys.h"
#include "store/index/dead_entries.h"
#include "store/index/pending.h"
#include "store/index/range_map.h"
#include "store/index/versions.h"
#include "store/journal/journal.h"
#include "store/kv/kv.h"

namespace dkfs {

// A repointing made by packing: the version keeps key and Seq, its payload lies elsewhere now (or it became a
// baseline).
struct Repoint {
  keys::BlockKey key;
  BlockEntry from;  // applied only if this is what the index holds
  BlockEntry to;
};

class Index {
 public:
  // `journal_path` is where the segments are: a voided record is read there to know what to take back. Without it (or
  // when its segment is gone) the whole index is searched.
  explicit Index(Kv* kv, std::string journal_path = {}) : kv_(kv), journal_path_(std::move(journal_path)) {}
  Status Load();  // reads the meta row; before anything else
  // For rebuilding: the packs applied hold everything up to `position`, so the journal goes on there.
  void ContinueAt(JournalPosition position) EXCLUDES(apply_mutex_);
  JournalPosition recovered() const;  // where the journal's tail begins (X3)

  // Takes the items of an appended record; payload locations follow from `at` and Item::payload_offset. Of the payloads
  // themselves only those of references (packs) are looked at, before it returns. Called under the journal's mutex.
  void Enqueue(const Appended& at, std::vector<Item> items) EXCLUDES(queue_mutex_);
  Status ApplyAll() EXCLUDES(apply_mutex_, queue_mutex_);
  Status ApplyThrough(Seq seq) EXCLUDES(apply_mutex_, queue_mutex_);  // at once when applied() >= seq
  Seq applied() const;
  // Makes all that was enqueued durable (X2, X3). The journal's sync and the writing happen outside the apply mutex.
  // ENOSPC: what was begun waits for space and ends in a later call; other errors are sticky (store/kv/kv.h).
  Status Flush(Journal* journal) EXCLUDES(flush_mutex_, apply_mutex_, queue_mutex_);
  using Sync = std::function<Status(Seq)>;  // Ok when the journal has synced everything up to the Seq
  Status Flush(const Sync& sync) EXCLUDES(flush_mutex_, apply_mutex_, queue_mutex_);
  Seq flushed() const;
  uint64_t QueuedBytes() const;
  bool OverLimit() const { return QueuedBytes() > kMaxQueuedBytes; }
  static constexpr uint64_t kMaxQueuedBytes = 8 << 20;

  // Questions. `at` kLatest includes everything enqueued before the call. ENOENT: no such thing at that moment.
  Result<InodeState> Inode(FileId file, Seq at);
  Result<NameValue> Name(FileId parent, std::string_view name, Seq at);
  // Live entries of `parent` after `after`, in EntryId order, until the callback returns false.
  using EachEntry = std::function<bool(EntryId, const EntryValue&)>;
  Status Entries(FileId parent, EntryId after, Seq at, const EachEntry& each);
  // Lists directories of which many entries have ended since, so that nobody who waits has to walk these. What is
  // queued is left to others.
  Status FindDeadEntries();
  // A link row is only a hint: what counts is the directory entry at that moment, which is asked too.
  Result<std::vector<LinkName>> Links(FileId child, Seq at, size_t most = SIZE_MAX);  // the first ones
  Result<std::string> Xattr(FileId file, std::string_view name, Seq at);
  Result<std::vector<std::pair<std::string, std::string>>> Xattrs(FileId file, Seq at);
  // The newest version of the block at or before `at`, and its Seq. ENOENT when there is none.
  Status NewestBlock(FileId file, LayoutId layout, uint64_t block, Seq at, Seq* seq, BlockEntry* entry);
  // Calls `each` for every version of the block at or before `at`, newest first, until it returns false.
  Status BlockChain(FileId file, LayoutId layout, uint64_t block, Seq at,
                    const std::function<bool(Seq, const BlockEntry&)>& each);
  // Newest version at or before `at` of every block of [first, end) that has one, in block order.
  Status Blocks(FileId file, LayoutId layout, uint64_t first, uint64_t end, Seq at,
                const std::function<bool(uint64_t block, Seq, const BlockEntry&)>& each);
  // The same with older versions of a block behind its newest, as many as `each` asks for: one pass.
  Status BlockVersions(FileId file, LayoutId layout, uint64_t first, uint64_t end, Seq at,
                       const std::function<Walk(uint64_t block, Seq, const BlockEntry&)>& each);
  // Seq of the newest range at or before `at` and after `after` that covers the block; 0 when none does.
  Result<Seq> CoveringRange(FileId file, LayoutId layout, uint64_t block, Seq after, Seq at);
  // The newest kMostRanges ranges of the layout at or before `at`: mostly all of them.
  Result<std::shared_ptr<const RangeMap>> Ranges(FileId file, LayoutId layout, Seq at);
  static constexpr size_t kMostRanges = 1 << 18;  // 24 bytes each, four times that while the map is made
  Status EachInode(Seq at, const std::function<bool(FileId, const InodeState&)>& each);
  // The last Seq whose time is not later than `time`; ENOENT when that is before `from` or the first record kept.
  // Moments that retention has dropped may still be found when they are not below `from`.
  Result<Seq> SeqAt(TimeSpec time, Seq from = Seq{});
  Result<MomentValue> Moment(Seq seq);

  // Rewrites and drops made by retention; synchronous, under the apply mutex.
  Status ApplyRepoints(const std::vector<Repoint>& repoints);
  Status Write(KvBatch* batch);
  Kv* kv() { return kv_; }

  // Highest ids seen, in the durable meta and in everything applied or enqueued since.
  FileId max_file() const;
  EntryId max_entry() const;
  // They are at least these: ids whose last record is gone must not come again.
  void RaiseIds(FileId file, EntryId entry);

 private:
  struct Queued {
    Appended at;
    std::vector<Item> items;
    std::string references;  // payloads of kReference versions, in order
    uint64_t bytes = 0;
  };
  using Chunk = std::deque<Queued>;
  struct BlockTarget {
    FileId file;
    LayoutId layout;
    uint64_t block;
    Seq after;
  };

  Status Fresh();                                                                   // applies what is queued
  Status WalkEntries(FileId parent, EntryId after, Seq at, const EachEntry& each);  // as far as it was applied
  Status Apply(Seq through) EXCLUDES(apply_mutex_, queue_mutex_);
  Status ApplyChunk() REQUIRES(apply_mutex_) EXCLUDES(queue_mutex_);
  void Take(Chunk* chunk) REQUIRES(apply_mutex_) EXCLUDES(queue_mutex_);
  void PutBack(Chunk* chunk) REQUIRES(apply_mutex_) EXCLUDES(queue_mutex_);
  // What the newest record that is not applied yet says of the name (child 0: it ended); nullopt: none says anything.
  // EAGAIN: there is too much to look at, or a record whose meaning its items do not tell.
  Result<std::optional<NameValue>> QueuedName(FileId parent, std::string_view name) EXCLUDES(queue_mutex_);
  Status ApplyRecords(const Chunk& chunk) REQUIRES(apply_mutex_);
  Status ApplyRecord(const Queued& record, KvBatch* batch) REQUIRES(apply_mutex_);
  // The newest of at most `most` ranges at or before `at` that covers the target; nullopt: they all leave it open.
  Result<std::optional<Seq>> WalkRanges(const BlockTarget& target, Seq at, size_t most);
  void Forget(const Queued& record);  // what was remembered and may have changed; once its rows are there
  void ApplyMoment(const Appended& at, KvBatch* batch) REQUIRES(apply_mutex_);
  Status ApplyPackedNames(const Queued& record, KvBatch* batch) REQUIRES(apply_mutex_);
  Status WriteOut(KvBatch* batch) REQUIRES(apply_mutex_);
  Status Void(Seq seq, KvBatch* batch) REQUIRES(apply_mutex_);
  Status VoidBySearch(Seq seq, KvBatch* batch) REQUIRES(apply_mutex_);
  Status BeginFlush() REQUIRES(flush_mutex_) EXCLUDES(apply_mutex_);
  Status FinishFlush(const Sync& sync) REQUIRES(flush_mutex_) EXCLUDES(apply_mutex_);
  std::string MetaRow() const REQUIRES(apply_mutex_);
  Result<bool> LastNotLater(TimeSpec time, Seq first, Seq last, Seq* found);

  Kv* const kv_;
  const std::string journal_path_;
  Mutex flush_mutex_ ACQUIRED_BEFORE(apply_mutex_);  // one flush at a time; held over the sync and the writing
  Mutex apply_mutex_;
  Mutex queue_mutex_ ACQUIRED_AFTER(apply_mutex_);

  std::optional<Seq> begun_ GUARDED_BY(flush_mutex_);  // a flush that has begun and not ended
  JournalPosition recovered_;                          // set by Load only
  JournalPosition position_ GUARDED_BY(apply_mutex_);  // after the last journal record applied
  TimeSpec last_time_ GUARDED_BY(apply_mutex_);        // of that record
  bool dirty_ GUARDED_BY(apply_mutex_) = false;        // something was written since the last flush began
  Chunk queue_ GUARDED_BY(queue_mutex_);
  const Chunk* applying_ GUARDED_BY(queue_mutex_) = nullptr;  // taken from the queue; not changed while it is here
  DeadEntries dead_;
  RangeMaps range_maps_;
  Pending pending_;  // of the queue, and of what is just being applied

  std::atomic<uint64_t> enqueued_{0}, applied_records_{0};  // records since Load: equal when the queue is empty
  std::atomic<uint64_t> queued_bytes_{0};
  std::atomic<uint64_t> applied_{0}, flushed_{0};  // Seqs
  std::atomic<uint64_t> max_file_{0}, max_entry_{0};
};

}  // namespace dkfs
