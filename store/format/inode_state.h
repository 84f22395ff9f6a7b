// The attributes of an inode at one Seq, as recorded and as indexed.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "store/base/clock.h"
#include "store/format/ids.h"

namespace dkfs {

// Where the content of a regular file is.
enum class ContentState : uint8_t {
  kStored = 0,  // a block without a version is a hole
  // A block below adopted_size without a version, and in no range, is still only in the backing file (first mount).
  kAdopting = 1,
};

// How finely changes of a file are captured: for whoever writes, reading needs none of it. Spelled in one byte, so the
// numbers are of few kinds.
struct CapturePolicy {
  bool delta = true;
  uint8_t compression = 3;     // zstd's level in packs: 0 (off, in the journal as well), 1, 3 or 9
  uint8_t fold_interval = 24;  // most deltas in a chain: 8, 24, 48 or 96
  bool long_frames = false;    // in packs: smaller, but a block is decompressed with up to 7 MiB around it
  friend bool operator==(const CapturePolicy&, const CapturePolicy&) = default;
};
bool IsSpelled(const CapturePolicy& policy);       // of the kinds above
uint8_t SpellPolicy(const CapturePolicy& policy);  // REQUIRES: IsSpelled
CapturePolicy PolicyOf(uint8_t spelled);           // of any byte

// What capture of a file works by. The number of a layout (LayoutId) changes with its block size.
struct FileLayout {
  uint8_t block_shift = kDefaultBlockShift;
  CapturePolicy policy;
  friend bool operator==(const FileLayout&, const FileLayout&) = default;
};

struct InodeState {
  uint32_t mode = 0;  // type and permission bits
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint32_t nlink = 0;  // 0: an orphan, or gone
  uint64_t size = 0;   // bytes; for a symlink the length of its target
  uint64_t rdev = 0;   // of a device; kAdopting: the inode number of the backing file that was adopted, 0: unknown
  TimeSpec atime, mtime, ctime;
  TimeSpec btime;  // kAdopting: of the backing file, where its file system knows it: with the number it tells the file
  LayoutId layout{1};
  uint8_t block_shift = kDefaultBlockShift;  // log2 of the block size of `layout`
  ContentState content = ContentState::kStored;
  CapturePolicy policy;
  uint64_t adopted_size = 0;  // kAdopting: blocks at or beyond it are not in the backing file's believed part
  // Set when this file took another's name by rename: the file it replaced, a base for librsync when packed. 0: none.
  FileId replaced;
  Seq replaced_at;  // the Seq of that rename, 0 in its own record; the replaced file is taken as of just before it
  std::string symlink_target;
  friend bool operator==(const InodeState&, const InodeState&) = default;
};

}  // namespace dkfs
