#include "fs/fuse/request_stats.h"

#include <algorithm>

namespace dkfs {
namespace {

constexpr std::array<std::string_view, kFuseOps> kNames = {
    "lookup",      "forget",    "getattr",         "setattr",  "readlink", "mknod",     "mkdir",       "unlink",
    "rmdir",       "symlink",   "rename",          "link",     "read",     "write",     "fsync",       "readdir",
    "readdirplus", "fsyncdir",  "statfs",          "setxattr", "getxattr", "listxattr", "removexattr", "create",
    "tmpfile",     "fallocate", "copy_file_range", "lseek"};

}  // namespace

static_assert(static_cast<size_t>(FuseOp::kSeek) + 1 == kFuseOps);

std::string_view FuseOpName(FuseOp op) { return kNames[static_cast<size_t>(op)]; }

void RequestStats::Record(FuseOp op, uint64_t nanoseconds, bool error) {
  Row& row = rows_[static_cast<size_t>(op)];
  auto bound = std::lower_bound(kLatencyBoundsNs.begin(), kLatencyBoundsNs.end(), nanoseconds);
  row.buckets[static_cast<size_t>(bound - kLatencyBoundsNs.begin())].fetch_add(1, std::memory_order_relaxed);
  row.total_ns.fetch_add(nanoseconds, std::memory_order_relaxed);
  if (error) row.errors.fetch_add(1, std::memory_order_relaxed);
}

RequestSnapshot RequestStats::Snapshot() const {
  RequestSnapshot out;
  for (size_t op = 0; op < kFuseOps; ++op) {
    out[op].errors = rows_[op].errors.load(std::memory_order_relaxed);
    out[op].total_ns = rows_[op].total_ns.load(std::memory_order_relaxed);
    for (size_t b = 0; b < out[op].buckets.size(); ++b) {
      out[op].buckets[b] = rows_[op].buckets[b].load(std::memory_order_relaxed);
      out[op].requests += out[op].buckets[b];
    }
  }
  return out;
}

}  // namespace dkfs
