// One operation of the crash workload: a mutating (or syncing) call with everything it needs, and its name.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dkfs::oracle {

enum class Kind {
  kCreate,
  kWrite,
  kAppend,
  kBigWrite,
  kMapped,       // stores through MAP_SHARED, msync(MS_SYNC), munmap
  kMappedUnmap,  // the same, munmap alone
  kTruncateDown,
  kTruncateUp,
  kAllocateKeep,
  kPunch,
  kZeroRange,
  kExtend,
  kRename,
  kRenameOver,
  kExchange,
  kNoReplace,
  kLink,
  kUnlink,
  kOrphan,  // unlinked while open, then written and truncated
  kMkdir,
  kRmdir,
  kSymlink,
  kFifo,
  kTmpFile,  // O_TMPFILE, write, linkat
  kChmod,
  kChown,
  kUtimens,
  kSetXattr,
  kRemoveXattr,
  kCopyRange,
  kSyncWrite,   // O_SYNC
  kDsyncWrite,  // O_DSYNC
  kFsync,
  kFdatasync,
  kSyncDir,
  kSharedWrite,  // into this thread's region of a file that all threads write
  kSharedSync,
  kCount,
};

std::string_view NameOf(Kind kind);

struct Piece {  // what one request of a large or mapped write moves
  uint64_t offset = 0, bytes = 0;
};

struct Op {
  Kind kind = Kind::kFsync;
  std::string path, other;  // below the tree's root; `other` is the second name of calls that have two
  uint64_t offset = 0;
  uint64_t from = 0;  // kCopyRange: offset in `other`
  std::string data;   // written bytes, the xattr's value, or the symlink's target
  uint64_t bytes = 0;
  std::string xattr;
  uint32_t mode = 0, uid = 0, gid = 0;
  int64_t mtime_ns = 0;
  std::vector<Piece> pieces;  // the steps in which it may be found; empty: one step

  size_t steps() const { return pieces.empty() ? 1 : pieces.size(); }
  // After an error of this call part of it may be there; any other failed call has changed nothing (G8).
  bool UncertainOnError() const;
  bool Syncs() const;  // its success is a promise of G1
};

}  // namespace dkfs::oracle
