// The index: RocksDB entries made from records, and the questions asked of them.
//
// Records are enqueued in Seq order as they are appended and applied in batches: by a background thread, or by whoever
// asks something that the queue may change (so a reader never waits for another thread, and never misses a record).
//
// Invariants
//   X1  applied() is the highest Seq whose items, and all items of lower Seqs, are in the memtables.
//   X2  A flush holds only records that the journal has synced. So no phantom of a lost record survives in the index.
//   X3  The durable meta row says exactly which Seq the flushed families hold, and where the journal goes on after it.
//   X4  The queue is bounded in bytes; enqueuing over the bound makes the enqueuer apply it (back-pressure).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "store/base/mutex.h"
#include "store/base/status.h"
#include "store/format/item.h"
#include "store/format/keys.h"
#include "store/journal/journal.h"
#include "store/kv/kv.h"

namespace dkfs {

// A repointing made by packing: the version keeps key and Seq, its payload lies elsewhere now (or it became a baseline).
struct Repoint {
  keys::BlockKey key;
  BlockEntry from;  // applied only if this is what the index holds
  BlockEntry to;
};

class Index {
 public:
  explicit Index(Kv* kv) : kv_(kv) {}
  Status Load();  // reads the meta row
  JournalPosition recovered() const;  // where the journal's tail begins (X3)

  // Takes the items of an appended record; payload locations follow from `at` and Item::payload_offset.
  // Called under the journal's mutex.
  void Enqueue(const Appended& at, std::vector<Item> items) EXCLUDES(queue_mutex_);
  Status ApplyAll() EXCLUDES(apply_mutex_, queue_mutex_);
  Status ApplyThrough(Seq seq) EXCLUDES(apply_mutex_, queue_mutex_);  // at once when applied() >= seq
  Seq applied() const;
  Status Flush(Journal* journal) EXCLUDES(apply_mutex_);  // X2, X3
  Seq flushed() const;
  uint64_t QueuedBytes() const;

  // Questions. `at` kLatest includes everything enqueued before the call. ENOENT: no such thing at that moment.
  Result<InodeState> Inode(FileId file, Seq at);
  Result<NameValue> Name(FileId parent, std::string_view name, Seq at);
  // Live entries of `parent` after `after`, in EntryId order, until the callback returns false.
  Status Entries(FileId parent, EntryId after, Seq at, const std::function<bool(EntryId, const EntryValue&)>& each);
  struct LinkRow { FileId parent; EntryId entry; };
  Result<std::vector<LinkRow>> Links(FileId child, Seq at);
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
  // Seq of the newest range at or before `at` and after `after` that covers the block; 0 when none does.
  Result<Seq> CoveringRange(FileId file, LayoutId layout, uint64_t block, Seq after, Seq at);
  Status EachInode(Seq at, const std::function<bool(FileId, const InodeState&)>& each);
  // The last Seq whose time is not later than `time`; ENOENT when that is before the first record kept.
  Result<Seq> SeqAt(TimeSpec time);
  Result<MomentValue> Moment(Seq seq);

  // Rewrites and drops made by retention; synchronous, under the apply mutex.
  Status ApplyRepoints(const std::vector<Repoint>& repoints);
  Status Write(KvBatch* batch);
  Kv* kv() { return kv_; }

  // Highest ids seen, in the durable meta and in everything applied or enqueued since.
  FileId max_file() const;
  EntryId max_entry() const;

 private:
  Kv* kv_;
  Mutex apply_mutex_;
  Mutex queue_mutex_ ACQUIRED_AFTER(apply_mutex_);
  // (the implementer adds fields)
};

}  // namespace dkfs
