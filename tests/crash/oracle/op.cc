#include "tests/crash/oracle/op.h"

#include <array>

namespace dkfs::oracle {

std::string_view NameOf(Kind kind) {
  static constexpr std::array<std::string_view, static_cast<size_t>(Kind::kCount)> kNames = {
      "create",       "write",         "append",     "big_write",   "mapped", "mapped_unmap", "truncate_down",
      "truncate_up",  "allocate_keep", "punch",      "zero_range",  "extend", "rename",       "rename_over",
      "exchange",     "noreplace",     "link",       "unlink",      "orphan", "mkdir",        "rmdir",
      "symlink",      "fifo",          "tmpfile",    "chmod",       "chown",  "utimens",      "setxattr",
      "removexattr",  "copy_range",    "sync_write", "dsync_write", "fsync",  "fdatasync",    "sync_dir",
      "shared_write", "shared_sync"};
  return kNames[static_cast<size_t>(kind)];
}

bool Op::UncertainOnError() const {
  return steps() > 1 || kind == Kind::kMapped || kind == Kind::kMappedUnmap || kind == Kind::kCopyRange ||
         kind == Kind::kSyncWrite || kind == Kind::kDsyncWrite;
}

bool Op::Syncs() const {
  switch (kind) {
    case Kind::kMapped:
    case Kind::kSyncWrite:
    case Kind::kDsyncWrite:
    case Kind::kFsync:
    case Kind::kFdatasync:
    case Kind::kSyncDir:
    case Kind::kSharedSync:
      return true;
    default:
      return false;
  }
}

}  // namespace dkfs::oracle
