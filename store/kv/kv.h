// Kv: the RocksDB under the index. The only folder that includes <rocksdb/...>.
//
// RocksDB's WAL is off: what is in the memtables is rebuilt from the journal's tail after a crash. Memtables are flushed
// only by Flush(), never by RocksDB on its own, all column families atomically; so what a crash leaves is exactly what
// one Flush() saw. The caller flushes only what the journal has synced (store/index keeps that invariant).
// Thread-safety: every function may be called from any thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "store/base/status.h"

namespace dkfs {

enum class Family : uint8_t {
  kMeta, kBlock, kRange, kInode, kName, kEntry, kLink, kXattr, kMoment, kSegment, kBacking
};
inline constexpr int kFamilies = 11;

class KvBatch {
 public:
  KvBatch();
  ~KvBatch();
  KvBatch(KvBatch&&) noexcept;
  KvBatch& operator=(KvBatch&&) noexcept;
  void Put(Family family, std::string_view key, std::string_view value);
  void Delete(Family family, std::string_view key);
  void DeleteRange(Family family, std::string_view begin, std::string_view end);  // [begin, end)
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

  Status Write(KvBatch* batch);  // in memory only; visible at once
  Result<std::string> Get(Family family, std::string_view key) const;  // ENOENT without allocation
  // First entry with key >= `key` that starts with `prefix`: fills both, or ENOENT.
  Status SeekPrefix(Family family, std::string_view key, std::string_view prefix, std::string* found_key,
                    std::string* value) const;
  // upper_bound: keys at or beyond it are not visited ("" none).
  KvCursor NewCursor(Family family, std::string_view upper_bound = {}) const;

  // A flush in two halves. On return from BeginFlush the memtables of all families are switched: what was written before
  // is part of this flush, what is written later is not. FinishFlush waits until that part is durable, in one atomic step.
  // One flush at a time. An error is sticky: nothing later is flushed either, and every later call answers it.
  Status BeginFlush();
  Status FinishFlush();
  uint64_t MemoryBytes() const;  // memtables, unflushed ones and those being flushed
  uint64_t DiskBytes() const;
  Status CompactRange(Family family, std::string_view begin, std::string_view end);

 private:
  struct Rep;
  explicit Kv(std::unique_ptr<Rep> rep);
  std::unique_ptr<Rep> rep_;
};

}  // namespace dkfs
