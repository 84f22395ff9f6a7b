// Kv: the RocksDB under the index. The only folder that includes <rocksdb/...>.
//
// RocksDB's WAL is off: what is in the memtables is rebuilt from the journal's tail after a crash. Memtables are
// flushed only by Flush(), never by RocksDB on its own, all column families atomically; so what a crash leaves is
// exactly what one flush saw. Nothing of a flush is written before FinishFlush: the caller may make sure in between
// that the journal has synced what the flush holds (store/index keeps that invariant). A flush that fails leaves
// everything in memory and reads go on. A full disk makes it wait, and writes go on too; any other failure, and every
// failed sync, is sticky: nothing is flushed any more until the store is opened again, and some versions of RocksDB
// refuse writes with EIO. Thread-safety: every function may be called from any thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "store/base/status.h"

namespace dkfs {

enum class Family : uint8_t {
  kMeta,
  kBlock,
  kRange,
  kInode,
  kName,
  kEntry,
  kLink,
  kXattr,
  kMoment,
  kSegment,
  kBacking
};
inline constexpr int kFamilies = 11;

// The first key after all keys that start with `prefix`, as an upper bound; "" when there is none.
std::string PrefixEnd(std::string_view prefix);

class KvBatch {
 public:
  KvBatch();
  ~KvBatch();
  KvBatch(KvBatch&&) noexcept;
  KvBatch& operator=(KvBatch&&) noexcept;
  void Put(Family family, std::string_view key, std::string_view value);
  void Delete(Family family, std::string_view key);
  // [begin, end). For whole stretches only whose rows harm nobody (moments that fell out of retention): cursors see
  // them until they are compacted away, so versions are deleted one by one.
  void DeleteRange(Family family, std::string_view begin, std::string_view end);
  void Clear();
  size_t count() const;
  size_t bytes() const;

 private:
  friend class Kv;
  struct Rep;
  std::unique_ptr<Rep> rep_;
};

// A cursor over one family as it was when the cursor was made. Not thread-safe. Views are valid until the next move.
class KvCursor {
 public:
  ~KvCursor();
  KvCursor(KvCursor&&) noexcept;
  bool Valid() const;
  void Seek(std::string_view key);         // first key >= key
  void SeekForPrev(std::string_view key);  // last key <= key
  void SeekToFirst();
  void SeekToLast();
  void Next();
  void Prev();
  std::string_view key() const;
  std::string_view value() const;
  Status status() const;  // to be asked when Valid() turned false

 private:
  friend class Kv;
  struct Rep;
  explicit KvCursor(std::unique_ptr<Rep> rep);
  std::unique_ptr<Rep> rep_;
};

struct KvOptions {
  bool create_if_missing = true;
  uint64_t block_cache_bytes = 32 << 20;
};

class Kv {
 public:
  // Corruption when RocksDB finds its files damaged or missing. The directory is created when asked for.
  static Result<std::unique_ptr<Kv>> Open(const std::string& path, const KvOptions& options);
  ~Kv();  // does not flush

  Status Write(KvBatch* batch);                                        // in memory only; visible at once
  Result<std::string> Get(Family family, std::string_view key) const;  // ENOENT without allocation
  // First entry with key >= `key` that starts with `prefix`: fills both, or ENOENT.
  Status SeekPrefix(Family family, std::string_view key, std::string_view prefix, std::string* found_key,
                    std::string* value) const;
  // upper_bound: keys at or beyond it are not visited ("" none).
  KvCursor NewCursor(Family family, std::string_view upper_bound = {}) const;
  // A cursor that each Seek confines to the versions of its key's thing: the keys that differ in their last eight bytes
  // only. Tables that hold none of them are not read. REQUIRES a family of versions; only Seek and Next.
  KvCursor NewVersionsCursor(Family family) const;

  // A flush in two halves. On return from BeginFlush the memtables of all families are switched: what was written
  // before is part of this flush, what is written later is not. FinishFlush lets it go to disk and waits until it is
  // durable, in one atomic step; without it nothing of this flush becomes durable. One flush at a time. ENOSPC: the
  // flush is kept and waits for space. Calling FinishFlush again makes it try again; until that has succeeded
  // BeginFlush answers ENOSPC too.
  Status BeginFlush();
  Status FinishFlush();
  Status error() const;          // sticky; or ENOSPC while something waits for space; or why a compaction failed; or Ok
  void TryAgain();               // whatever waits for space looks for it once more; FinishFlush does so too
  Status CheckTables() const;    // reads every table from end to end; Corruption names the first damaged one
  uint64_t MemoryBytes() const;  // memtables, unflushed ones and those being flushed
  uint64_t DiskBytes() const;
  // Asks for a compaction of what lies on disk between the two keys ("": from the first, to the last); does not wait
  // and never flushes memtables.
  Status CompactRange(Family family, std::string_view begin, std::string_view end);
  bool Compacting() const;  // some compaction is under way or due
  // Tables that hold nothing but keys below `end` go, without being read; the youngest (L0) stay. For rows that were
  // deleted, or may be: no others. In a thread of its own, as it may have to wait for space; where there is none, and
  // while another drop is under way, nothing happens. DropTables and Dropping are for one thread.
  void DropTables(Family family, std::string_view end);
  bool Dropping() const;  // one is under way

 private:
  struct Rep;
  explicit Kv(std::unique_ptr<Rep> rep);
  Status LoadFlushes();
  std::unique_ptr<Rep> rep_;
};

}  // namespace dkfs
