// Counters and latencies of FUSE requests, by operation. Recording costs three relaxed additions; reading is a plain
// copy. Thread-safe.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string_view>

namespace dkfs {

enum class FuseOp : uint8_t {
  kLookup,
  kForget,
  kGetAttr,
  kSetAttr,
  kReadLink,
  kMakeNode,
  kMakeDir,
  kUnlink,
  kRemoveDir,
  kSymlink,
  kRename,
  kLink,
  kRead,
  kWrite,
  kFsync,
  kReadDir,
  kReadDirPlus,
  kFsyncDir,
  kStatFs,
  kSetXattr,
  kGetXattr,
  kListXattr,
  kRemoveXattr,
  kCreate,
  kTmpfile,
  kAllocate,
  kCopyRange,
  kSeek
};
inline constexpr size_t kFuseOps = 28;
std::string_view FuseOpName(FuseOp op);  // "lookup", ...; as in metrics

// Upper bounds of the latency buckets in nanoseconds; one more bucket is above all of them.
inline constexpr std::array<uint64_t, 14> kLatencyBoundsNs = {
    10'000,    25'000,    50'000,     100'000,    250'000,     500'000,       1'000'000,
    2'500'000, 5'000'000, 10'000'000, 50'000'000, 250'000'000, 1'000'000'000, 5'000'000'000};

struct OpSnapshot {
  uint64_t requests = 0;
  uint64_t errors = 0;
  uint64_t total_ns = 0;
  std::array<uint64_t, kLatencyBoundsNs.size() + 1> buckets{};  // not cumulative
};
using RequestSnapshot = std::array<OpSnapshot, kFuseOps>;

class RequestStats {
 public:
  void Record(FuseOp op, uint64_t nanoseconds, bool error);
  RequestSnapshot Snapshot() const;

 private:
  struct alignas(64) Row {
    std::atomic<uint64_t> errors{0};
    std::atomic<uint64_t> total_ns{0};
    std::array<std::atomic<uint64_t>, kLatencyBoundsNs.size() + 1> buckets{};
  };
  std::array<Row, kFuseOps> rows_;
};

}  // namespace dkfs
