// Store: the one door to everything durable. fs/ and tools/ include this and store/base, store/format, store/codec
// only.
//
// A store is a directory:  FORMAT  LOCK  clean  journal/  index/  aside/   (docs/format.md)
// It is the truth; the backing directory is its materialised cache. Whatever Append returned survives a kill of the
// process; whatever a Barrier answered survives loss of power. History is kept for options.retain, within
// options.budget.
//
// Thread-safety: every function may be called from any thread. No callback is called with a lock of the store held,
// unless it says so.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "store/base/bytes.h"
#include "store/base/clock.h"
#include "store/base/status.h"
#include "store/format/hot_extents.h"
#include "store/format/ids.h"
#include "store/format/inode_state.h"
#include "store/format/item.h"
#include "store/format/keys.h"

namespace dkfs {

struct StoreOptions {
  enum class Mode {
    kReadWrite,  // takes the exclusive lock; creates the store when `create` and the directory is missing or empty
    kReadOnly,   // shared lock; nothing in the store is changed (the index is opened from a private copy)
  };
  Mode mode = Mode::kReadWrite;
  bool create = true;
  bool rebuild_index = false;  // kReadWrite: make the index again from the segments even if it looks whole
  std::chrono::seconds retain{24 * 3600};
  uint64_t budget_bytes = 0;          // 0: half of what the store holds plus what its disk has free, at open
  uint64_t segment_bytes = 64 << 20;  // less when a 32nd of the budget is less
  std::chrono::milliseconds maintain_every{10'000};  // between looks for something to pack, fold or delete
  bool yields = true;                                // packing and retention rest while others wait for the CPUs
  bool background = true;  // indexer, flush, packing, retention threads; off in tests that step them by hand
  Clock clock;
  // For metrics: after each sync of the journal, how long it took and how many barriers it answered.
  std::function<void(uint64_t sync_ns, int group)> on_sync;
};

// Exit-code relevant reasons why Open failed, beside plain errno: EBUSY store in use; EUCLEAN damaged; ENOTSUP newer
// format; EBADMSG not a store (directory not empty and no FORMAT).

struct StoreStatus {
  Seq captured, appended, synced, indexed, flushed;
  Seq oldest;  // the first moment that can be restored
  TimeSpec oldest_time;
  uint64_t store_bytes = 0;  // everything below the store directory
  uint64_t journal_bytes = 0, pack_bytes = 0, index_bytes = 0;
  uint64_t budget_bytes = 0;
  uint64_t queue_bytes = 0;                // not yet indexed
  uint64_t records = 0, record_bytes = 0;  // appended since open
  uint64_t expanded_bytes = 0;             // of those records before compression
  uint64_t syncs = 0, sync_ns = 0, barriers = 0;
  uint64_t packed_segments = 0, deleted_segments = 0;
  std::chrono::seconds retain{0};
  Status error;  // the sticky error of the journal or of the index, or Ok
};

// Composes one record without copying block payloads. Reusable; not thread-safe; keeps its buffers between uses.
// Payload memory given to Blocks must stay valid until Append returned.
class RecordBuilder {
 public:
  RecordBuilder();
  ~RecordBuilder();
  RecordBuilder(RecordBuilder&&) noexcept;
  void Clear();
  bool empty() const;
  size_t bytes() const;  // encoded so far; a record is at most kMaxRecordBytes

  void Inode(FileId file, const InodeState& state);
  void InodeGone(FileId file);
  void Name(FileId parent, EntryId entry, std::string_view name, FileId child, uint8_t dtype);
  void NameGone(FileId parent, EntryId entry, std::string_view name);
  void Xattr(FileId file, std::string_view name, std::string_view value);
  void XattrGone(FileId file, std::string_view name);
  void Range(FileId file, LayoutId layout, uint64_t first_block, uint64_t end_block);
  // `payload` is cut into the versions' stored_bytes, in order. `as_of` 0: true from this record on; otherwise since
  // then.
  void Blocks(FileId file, LayoutId layout, uint8_t block_shift, uint64_t first_block,
              std::span<const BlockVersion> versions, std::span<const Bytes> payload, Seq as_of = Seq{});
  void Void(Seq seq);
  void SetRequest(uint64_t unique);
  void SetUrgent();  // may use the reserve: unlink, truncate, rmdir (G8), and every Void
  // False: not worth trying to compress (LZ4). Very small records never are, and those above 256 KiB only where a
  // sample, and then the whole, comes to a quarter or less.
  void SetCompressible(bool yes);
  // What came of it in the last Append.
  enum class Shrunk : uint8_t { kUntried, kNo, kYes };
  Shrunk shrunk() const;

 private:
  friend class Store;
  struct Rep;
  std::unique_ptr<Rep> rep_;
};

class Store {
 public:
  static Result<std::unique_ptr<Store>> Open(const std::string& path, const StoreOptions& options);
  ~Store();
  // Syncs, flushes the index, joins the background threads. The store stays usable for reading until destroyed.
  Status Close();

  const std::string& path() const;
  std::string uuid() const;
  bool fresh() const;      // no record was ever appended: the first mount
  bool was_clean() const;  // the last writer closed it with MarkClean (true for fresh)

  // --- writing ---
  FileId NewFile();
  EntryId NewEntry();
  // To be called before a change that takes space and is to be appended, with no lock held that others need: waits
  // while writers are held back (docs/retention.md), otherwise costs nothing.
  void AwaitRoom();
  // On error nothing changed. ENOSPC: no room for a segment; other errors are sticky (G8). What is appended is taken
  // out of `record`, which is empty then.
  Result<Seq> Append(RecordBuilder& record);
  void Barrier(Seq seq, std::function<void(Status)> done);  // group commit; `done` may run before this returns
  Status BarrierAndWait(Seq seq);                           // the same, in this thread
  Status Sync(Seq seq = kLatest);                           // waits; kLatest: everything appended so far
  Seq appended() const;                                     // the last record's

  // --- reading; `at` kLatest sees every record appended before the call ---
  Result<InodeState> GetInode(FileId file, Seq at = kLatest);
  Result<NameValue> Lookup(FileId parent, std::string_view name, Seq at = kLatest);
  Status List(FileId parent, EntryId after, Seq at, const std::function<bool(EntryId, const EntryValue&)>& each);
  Result<bool> IsEmptyDir(FileId dir, Seq at = kLatest);
  Result<std::vector<LinkName>> Links(FileId child, Seq at = kLatest);
  // One path from the root ("a/b/c", "" for the root) for messages and backing files; ENOENT when unreachable.
  Result<std::string> PathOf(FileId file, Seq at = kLatest);
  Result<std::string> GetXattr(FileId file, std::string_view name, Seq at = kLatest);
  Result<std::vector<std::pair<std::string, std::string>>> ListXattrs(FileId file, Seq at = kLatest);
  Status EachInode(Seq at, const std::function<bool(FileId, const InodeState&)>& each);

  // Content (see store/replay/reconstruct.h for the exact rules). `state` is the inode at `at`.
  struct Newest {
    Seq seq;
    uint64_t checksum = 0;
    bool hole = true;
  };
  Status DescribeBlock(FileId file, const InodeState& state, uint64_t block, Seq at, Newest* newest);
  Status ReadBlock(FileId file, const InodeState& state, uint64_t block, Seq at, MutableBytes out,
                   Newest* newest = nullptr);
  Result<bool> ExplainsBlock(FileId file, const InodeState& state, uint64_t block, Seq at, uint64_t checksum);
  // All blocks of [first, first + count) in order, in runs of one sort, until `each` returns false: the way to read
  // much of a file. One pass over the index, large reads, bounded memory. A damaged or uncaptured block comes with its
  // status and does not end the pass; the result is Ok unless the index itself fails.
  struct BlockRun {
    uint64_t first = 0, count = 0;
    bool hole = false;  // zeros; no data
    Status status;      // EUCLEAN damaged, ENODATA never captured
    Bytes data;         // count blocks, valid until the callback returns, or as long as `owner` is held
    std::shared_ptr<const void> owner;
  };
  Status ReadBlocks(FileId file, const InodeState& state, uint64_t first, uint64_t count, Seq at,
                    const std::function<bool(const BlockRun&)>& each);
  // First block >= `from` that holds data (a version that is not a hole, or uncaptured content), for SEEK_DATA and for
  // skipping holes; ENXIO when there is none.
  Result<uint64_t> NextData(FileId file, const InodeState& state, uint64_t from, Seq at = kLatest);

  // Moments: "seq:N", RFC 3339 or "YYYY-MM-DD HH:MM:SS[.frac]" (local time), "@UNIXSECONDS", "latest".
  // EINVAL not understood; ENOENT before the oldest moment kept.
  Result<Seq> ParseMoment(std::string_view text);
  Result<TimeSpec> TimeOf(Seq seq);

  // --- the backing directory's facts, kept beside the index; lost without harm (everything is then checked) ---
  Status PutFingerprints(std::span<const std::pair<FileId, Fingerprint>> prints);
  Result<Fingerprint> GetFingerprint(FileId file);
  // Advice about what to restore first, hottest first; at most kMaxHotExtents count. Empty when there is none, or none
  // that can be read (logged). Durable on return.
  Status PutHotExtents(const std::vector<HotExtent>& extents);
  std::vector<HotExtent> GetHotExtents() const;
  // Clean mark: "DIR with this identity is complete as of the last Seq". MarkClean flushes and syncs everything first.
  Status MarkClean(const std::string& identity);
  Status RemoveCleanMark();                          // durable on return; before the first change of a mount
  std::optional<std::string> CleanIdentity() const;  // as found at Open

  // --- upkeep ---
  StoreStatus GetStatus() const;
  Status FlushIndex();
  // One round of packing, folding, retention and gc, as the background thread does it. Returns whether anything was
  // done.
  Result<bool> Maintain();
  void SetRetention(std::chrono::seconds retain, uint64_t budget_bytes);

  // For store/verify and the tool only.
  class Parts;
  Parts* parts();

 private:
  class Impl;
  explicit Store(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace dkfs
