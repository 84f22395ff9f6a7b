// Presence: which blocks of an inode that is kPartial are absent. A block beyond those it was begun with is present.
#pragma once

#include "fs/inode/inode.h"

namespace dkfs::presence {

inline uint64_t BlocksOf(const InodeState& state) {
  const uint64_t block_size = uint64_t{1} << state.block_shift;
  return (state.size >> state.block_shift) + (state.size % block_size != 0);
}

// kPartial with `blocks` blocks, all absent or all present.
inline void Begin(Inode& inode, uint64_t blocks, bool absent) REQUIRES(inode.lock) {
  inode.presence = Presence::kPartial;
  inode.absent_blocks = {};
  if (absent) inode.absent_blocks.Add(0, blocks);
}

}  // namespace dkfs::presence
