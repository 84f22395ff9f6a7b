// Presence: the bitmap of an inode that is kPartial. A block beyond the bitmap's end is present.
#pragma once

#include "fs/inode/inode.h"

namespace dkfs::presence {

inline uint64_t BlocksOf(const InodeState& state) {
  const uint64_t block_size = uint64_t{1} << state.block_shift;
  return (state.size >> state.block_shift) + (state.size % block_size != 0);
}
// kPartial with `blocks` blocks, all absent or all present.
void Begin(Inode& inode, uint64_t blocks, bool absent) REQUIRES(inode.lock);
void End(Inode& inode) REQUIRES(inode.lock);  // forgets the bitmap
bool Has(const Inode& inode, uint64_t block) REQUIRES_SHARED(inode.lock);
// First absent block of [from, end), or `end`.
uint64_t NextAbsent(const Inode& inode, uint64_t from, uint64_t end) REQUIRES_SHARED(inode.lock);
// First present block of [from, end), or `end`.
uint64_t NextPresent(const Inode& inode, uint64_t from, uint64_t end) REQUIRES_SHARED(inode.lock);
void Set(Inode& inode, uint64_t first, uint64_t end) REQUIRES(inode.lock);
// [first, end) is absent from now on; the bitmap grows to hold it.
void ClearRange(Inode& inode, uint64_t first, uint64_t end) REQUIRES(inode.lock);

}  // namespace dkfs::presence
