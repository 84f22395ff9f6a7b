// IoTrace: what the store does to its files, as events of the Trace (type 3). It stands below store/base/file.h and
// below RocksDB's FileSystem; a builder in tests/crash/power makes from the events what a loss of power may leave.
//
// A change and its event are made under one mutex, so the trace's order is the order in which things happened; a change
// that failed has no event. A sync has two events: it covers what stands in the trace before its first, and is done
// at its second; one that failed has no second. Only files below the store's root, named by Begin, are traced. Off, all
// of it costs one relaxed load a call. Payload, little-endian:
//
//   u8 op   u8 0   u16 path_bytes   u16 to_bytes   u16 0   u64 ino   u64 offset   u64 length   path   to   data
//
// Paths are relative to the root ("" is the root). Data that is all zeros is left out: length says how much.
// Thread-safety: Scope and Sync may be used from any thread, a Scope never inside another.
#pragma once

#include <sys/uio.h>

#include <atomic>
#include <string>
#include <string_view>

#include "store/base/bytes.h"
#include "store/base/status.h"
#include "store/base/trace.h"

namespace dkfs {

enum class IoOp : uint8_t {
  // What stood in the store when a process began to trace it: kBegin, then each directory and file with its content
  // as kWrite, then kBegun. Not first in a trace: the process before was killed, perhaps between a change and its
  // event.
  kBegin = 1,
  kHasDir = 2,   // path
  kHasFile = 3,  // path, ino, length
  kBegun = 4,
  kCreate = 5,    // path, ino: an empty file came into being
  kWrite = 6,     // ino, offset, length, data
  kTruncate = 7,  // ino, length
  kAllocate = 8,  // ino, length: at least that long, zeros
  kRename = 9,    // path, to
  kUnlink = 10,   // path
  kMakeDir = 11,  // path
  kRemoveDir = 12,
  kLink = 13,          // path, to
  kSyncBegun = 14,     // ino, offset: the number of the sync
  kSyncDirBegun = 15,  // path, offset: likewise
  kSyncAllBegun = 16,  // offset: likewise
  kSyncEnded = 17,     // offset: likewise
};

struct IoEvent {
  IoOp op = IoOp::kBegin;
  uint64_t ino = 0, offset = 0, length = 0;
  std::string_view path = {}, to = {};
  Bytes data = {};

  void AppendHead(std::string* out) const;  // all but the data
  static Status Decode(Bytes payload, IoEvent* event);
};

class IoTrace {
 public:
  static bool on() { return on_.load(std::memory_order_relaxed); }
  // A process begins to change the store at `root`; nothing while no Trace is open. Describes what stands there, once
  // for each trace and root.
  static Status Begin(const std::string& root);
  static void Close();  // before Trace::Close

  // Held from before a change until its event is made.
  class Scope {
   public:
    Scope();
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

    // The change succeeded. Nothing while off, and nothing for what is not the store's.
    void Created(int fd) const;
    void Wrote(int fd, const struct iovec* parts, int count, uint64_t offset, size_t bytes) const;
    void Wrote(const std::string& path, Bytes data, uint64_t offset) const;
    void Truncated(int fd, uint64_t size) const;
    void Truncated(const std::string& path, uint64_t size) const;
    void Allocated(int fd, uint64_t size) const;
    void Renamed(int dirfd, const std::string& from, const std::string& to) const;
    void Named(IoOp op, int dirfd, const std::string& path) const;  // kUnlink, kMakeDir, kRemoveDir
    void Linked(const std::string& from, const std::string& to) const;
    void Created(const std::string& path) const;

   private:
    const bool on_;
  };

  // Made before a sync; Ended after it succeeded.
  class Sync {
   public:
    enum class What { kFile, kDir, kAll };
    Sync(What what, int fd);
    Sync(What what, const std::string& path);
    void Ended() const;

   private:
    uint64_t number_ = 0;  // 0: not traced
  };

 private:
  static std::atomic<bool> on_;
};

}  // namespace dkfs
