// Trace: the order of events over several processes, for tests that cut it anywhere and ask what must be there.
//
// One file, opened O_APPEND by each process; each event is one write(2), so the file's order is a total order that
// agrees with what happened before what. Off (the default) an event costs one relaxed load. On by the environment
// variable DKFS_TRACE=path or by tests. An event, little-endian:
//
//   u32 magic "DKEV"   u32 type   u64 payload_bytes   u64 monotonic_ns   u32 pid   u32 tid   payload
//
//   type  payload
//   1     u32 thread, u64 op number                     an operation of a workload began
//   2     u32 thread, u64 op number, i32 errno or 0     it ended
//   3     store/base/io_trace.h                         the store changed or synced a file
//   4     text                                          a mark of a test
//
// Not for production: a trace that cannot be written aborts the process. Thread-safety: Trace's functions may be called
// from any thread, Open and Close while no other thread appends; a TraceReader belongs to one thread.
#pragma once

#include <atomic>
#include <string>
#include <string_view>

#include "store/base/bytes.h"
#include "store/base/status.h"

namespace dkfs {

enum class TraceType : uint32_t { kOpBegun = 1, kOpEnded = 2, kStoreIo = 3, kText = 4 };

inline constexpr uint32_t kTraceMagic = 0x5645'4b44;  // "DKEV"
inline constexpr size_t kTraceHeaderBytes = 32;

class Trace {
 public:
  // Creates the file, or goes on behind what is there.
  static Status Open(const std::string& path);
  static Status OpenFromEnvironment();
  static void Close();
  static bool on() { return on_.load(std::memory_order_relaxed); }

  // Nothing while off. The payload is head and data, one after the other.
  static void Append(TraceType type, Bytes head, Bytes data = {}) {
    if (on()) AppendSlow(type, head, data);
  }
  static void OpBegun(uint32_t thread, uint64_t op);
  static void OpEnded(uint32_t thread, uint64_t op, int error);
  static void Text(std::string_view text) { Append(TraceType::kText, AsBytes(text)); }

 private:
  static void AppendSlow(TraceType type, Bytes head, Bytes data);
  static std::atomic<bool> on_;
};

// Walks the events of a trace as it was when opened.
class TraceReader {
 public:
  struct Event {
    TraceType type = TraceType::kText;
    uint64_t offset = 0;  // of the event in the file
    uint64_t monotonic_ns = 0;
    uint32_t pid = 0, tid = 0;
    Bytes payload;  // valid as long as the reader
  };

  static Result<TraceReader> Open(const std::string& path);
  TraceReader(TraceReader&& other) noexcept;
  TraceReader& operator=(TraceReader&&) = delete;
  ~TraceReader();

  // False at the end. Steps over an event that a kill cut short, the last one or one within.
  bool Next(Event* event);
  void Seek(uint64_t offset) { offset_ = offset; }  // to an Event's offset

 private:
  explicit TraceReader(Bytes all) : all_(all) {}
  bool HeaderAt(uint64_t offset, Event* event) const;
  bool WholeAt(uint64_t offset, Event* event) const;

  Bytes all_;  // mapped
  uint64_t offset_ = 0;
};

}  // namespace dkfs
