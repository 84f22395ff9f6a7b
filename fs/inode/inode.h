// Inodes in memory: the attributes in force, what the backing file holds, and the lock that orders changes.
//
// Nothing here is needed by a successor: an Inode is rebuilt from the store when it is asked for again.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "fs/inode/block_set.h"
#include "fs/inode/compress_gate.h"
#include "store/base/mutex.h"
#include "store/base/unique_fd.h"
#include "store/store.h"

namespace dkfs {

// What the backing directory is known to hold of an inode in this mount.
//
//   kUnknown --(Hydrator::Prepare: fingerprint matches, or nothing to hydrate)--> kPresent
//   kUnknown --(Prepare: otherwise; the backing file is now .dkfs-partial/FileId)--> kPartial
//   kPartial --(every block present, Hydrator::Settle moved it under its names)--> kPresent
enum class Presence : uint8_t { kUnknown, kPartial, kPresent };

// What capture has spent on an inode's writes since somebody took it: statistics, for the profiler.
struct CaptureCosts {
  uint64_t writes = 0, written = 0;  // calls, bytes the application wrote
  uint64_t recorded = 0;             // bytes of records, before any compression, but for what is similar in packs
  uint64_t rows = 0;                 // bytes of rows in index and packs, which compression makes no smaller
  uint64_t ns = 0;                   // of one in kTimedWrites calls, times that
  uint64_t versions = 0;             // of blocks
  uint64_t hydration = 0;            // bytes to be read to reconstruct the blocks that were written
  uint64_t last_offset = 0;          // of the last write
  static constexpr uint64_t kTimedWrites = 16;
};

class Inode {
 public:
  explicit Inode(FileId file) : id(file) {}
  const FileId id;

  // Orders every change of this inode's content and attributes, and the records of them. Taken after the tree lock
  // (docs/locks.md); two at once in FileId order. Held over the file i/o of the operation, never over a reply.
  SharedMutex lock;

  InodeState state GUARDED_BY(lock);
  bool loaded GUARDED_BY(lock) = false;  // `state` was read from the store (or made by create)
  bool exists GUARDED_BY(lock) = false;  // false: the store knows no such inode, or it is gone
  Presence presence GUARDED_BY(lock) = Presence::kUnknown;
  bool compared GUARDED_BY(lock) = false;  // drift: compared with the backing directory in this mount
  // kPartial: blocks that do not hold the newest bytes. None is absent beyond the size the file had when it became
  // partial, but for those that are deferred.
  BlockSet absent_blocks GUARDED_BY(lock);
  // kAdopting: uncaptured content is in the backing file below this offset; at or beyond it, it is lost (kPartial
  // only).
  uint64_t believed_bytes GUARDED_BY(lock) = ~uint64_t{0};
  // All that was adopted of a block is there. What is left of one that is not cannot be told from zeros.
  bool Believes(uint64_t block) const REQUIRES_SHARED(lock) {
    return std::min((block + 1) << state.block_shift, state.adopted_size) <= believed_bytes;
  }
  UniqueFd backing GUARDED_BY(lock);                // read-write; opened by Hydrator::Prepare when needed
  bool backing_read_only GUARDED_BY(lock) = false;  // `backing` could only be opened for reading
  bool times_dirty GUARDED_BY(lock) = false;        // the backing file's times are not the recorded ones yet

  // A name under which the inode was last seen: the way to its backing file. True while the tree lock is held by
  // whoever set it; changed by renames under the exclusive tree lock.
  Mutex hint_mutex ACQUIRED_AFTER(lock);
  void SetHint(FileId parent, std::string_view name) EXCLUDES(hint_mutex);
  // The name has ended: while it is the hint, the way is asked of the store again (an orphan has none).
  void DropHint(FileId parent, std::string_view name) EXCLUDES(hint_mutex);
  FileId hint_parent GUARDED_BY(hint_mutex);
  std::string hint_name GUARDED_BY(hint_mutex);
  // A directory: a name that was looked up and was not there when `absent_at` was the last record.
  std::string absent_name GUARDED_BY(hint_mutex);
  Seq absent_at GUARDED_BY(hint_mutex);

  // Capture's own: versions remembered for deltas hold only within one epoch; 0: none yet (fs/capture/chain_cache.h).
  uint64_t capture_epoch GUARDED_BY(lock) = 0;
  CaptureCosts costs GUARDED_BY(lock);
  CompressGate compress_gate GUARDED_BY(lock);
  // Whether it carries security.capability, which every write takes away. Unknown until first asked.
  enum class Known : int8_t { kUnknown, kNo, kYes };
  Known has_capability GUARDED_BY(lock) = Known::kUnknown;
  // Whether it carries any extended attribute: the kernel asks for ACLs over and over. Set with `lock` held, shared is
  // enough, since what the store says does not change then.
  std::atomic<Known> has_xattrs{Known::kUnknown};

  // A directory: no entry made since its listing was last begun lies below this cookie; 0: not begun in this mount.
  std::atomic<uint64_t> listing_end{0};

  std::atomic<uint64_t> last_seq{0};  // the highest Seq that changed this inode: what fsync waits for
  // What was captured of adopted content, up to this record, may not be synced, and the backing file is the only other
  // copy; 0: it is. Set under `lock`.
  std::atomic<uint64_t> adopted_seq{0};
  std::atomic<bool> used{false};  // `backing` was used since FileSystem last thought of closing it

 private:
  friend class InodeTable;
  uint64_t lookups_ = 0;  // kernel's lookup count; guarded by the table's shard mutex
  uint64_t refs_ = 0;     // InodeRefs; guarded by the table's shard mutex
  uint64_t grants_ = 0;   // references ever given: tells an eviction that somebody came by; guarded by the shard mutex
  std::atomic<bool> ready_{false};  // `loaded` is true; set once, so that a hit needs no inode lock
};

class InodeTable;

// Keeps an Inode in the table. Move-only.
class InodeRef {
 public:
  InodeRef() = default;
  InodeRef(InodeRef&& other) noexcept : table_(other.table_), inode_(other.inode_) { other.inode_ = nullptr; }
  InodeRef& operator=(InodeRef&& other) noexcept;
  ~InodeRef() { reset(); }
  void reset();
  Inode* get() const { return inode_; }
  Inode& operator*() const { return *inode_; }
  Inode* operator->() const { return inode_; }
  explicit operator bool() const { return inode_ != nullptr; }

 private:
  friend class InodeTable;
  InodeRef(InodeTable* table, Inode* inode) : table_(table), inode_(inode) {}
  InodeTable* table_ = nullptr;
  Inode* inode_ = nullptr;
};

// Every Inode in memory, by FileId. An Inode leaves when nothing refers to it, the kernel has forgotten it (so nobody
// has it open), and it is not kPartial with a name (its bitmap cannot be read again cheaply).
//
// Invariants
//   N1  A FileId has at most one Inode at a time, so one lock orders all its changes.
//   N2  A state is loaded under the inode's exclusive lock and only once, so a stale load never replaces newer state.
//   N3  What an evicted Inode knew and the store does not (kPresent, compared, the Seqs that must be waited for) is
//   kept compactly.
//
// Thread-safe. Shard mutexes are leaves: taken under any lock, and nothing is taken under them.
class InodeTable {
 public:
  explicit InodeTable(Store* store) : store_(store) {}
  ~InodeTable();  // REQUIRES: no InodeRef is left

  // The inode, its state loaded. ENOENT when the store knows none, ESTALE when it is gone. O(1) when in memory, and
  // then no inode lock is taken. REQUIRES otherwise: this inode's lock is not held.
  Result<InodeRef> Get(FileId file);
  // A new inode made by the caller (create, mkdir, ...), recorded with this state. Whoever walks the store may have
  // asked for it already, and found the same. REQUIRES: the tree lock exclusively since the record was appended.
  InodeRef Add(FileId file, const InodeState& state);
  // Only if it is in memory; state may be not loaded.
  InodeRef Peek(FileId file);
  void CountLookup(Inode& inode);            // one more reference of the kernel
  void Forget(FileId file, uint64_t count);  // an unknown count never underflows
  bool KernelKnows(const Inode& inode);      // lookup count above zero
  size_t size() const;

  // Ids known to be kPresent although their Inode left memory (a compact set; guarded inside).
  void RememberPresent(FileId file);
  void ForgetPresent(FileId file);
  bool IsRememberedPresent(FileId file) const;
  // Called for each Inode about to leave memory, perhaps under the tree lock or locks of other inodes; again when
  // somebody took and released it meanwhile. The hook may lock this inode, must not take a reference to it, and nothing
  // of its work may need another inode. Set before the first Get.
  void SetEvictHook(std::function<void(Inode&)> hook) { evict_hook_ = std::move(hook); }

 private:
  friend class InodeRef;
  static constexpr size_t kShards = 64;
  // What outlives the Inodes of 64 consecutive ids of a shard, a bit each.
  struct Remembered {
    uint64_t present = 0;
    uint64_t compared = 0;
  };
  struct Shard {
    mutable Mutex mutex;
    std::unordered_map<FileId, std::unique_ptr<Inode>> inodes GUARDED_BY(mutex);
    std::unordered_map<uint64_t, Remembered> remembered GUARDED_BY(mutex);
  };
  Shard& ShardOf(FileId file) { return shards_[file.value % kShards]; }
  const Shard& ShardOf(FileId file) const { return shards_[file.value % kShards]; }
  static uint64_t GroupOf(FileId file) { return file.value / kShards / 64; }
  static uint64_t BitOf(FileId file) { return uint64_t{1} << (file.value / kShards % 64); }
  InodeRef Hold(FileId file);  // one that is not in memory comes in without its state
  Status Load(Inode& inode);
  void Release(Inode* inode);
  void Evict(Shard& shard, Inode* inode);  // REQUIRES: refs_ was raised to 1 for it
  bool MayLeave(Inode& inode, Remembered* keep);

  Store* const store_;
  std::function<void(Inode&)> evict_hook_;
  std::atomic<uint64_t> evicted_seq_{0}, evicted_adopted_{0};  // the highest last_seq and adopted_seq of all evicted
  Shard shards_[kShards];
};

}  // namespace dkfs
