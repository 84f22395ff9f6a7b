// Chain cache: what capture remembers of the newest version of recently written blocks, so that the next write of the
// block can be a delta against it. Bounded and forgetful: a block that is not remembered is written as a baseline,
// which is always right. Direct mapped: two blocks that share a slot displace each other.
//
// An entry is valid for one epoch of its inode: every change that is not a block version (truncate, punch, a voided
// write) starts a new epoch, and epochs are unique over all inodes, so nothing stale is ever found.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "store/base/mutex.h"
#include "store/format/ids.h"

namespace dkfs {

class ChainCache {
 public:
  struct Entry {
    uint64_t epoch = 0;
    uint64_t block = 0;
    Seq seq;                   // of the newest version
    uint64_t checksum = 0;     // of the whole block
    uint32_t delta_bytes = 0;  // payload of all deltas since the baseline
    uint8_t length = 0;        // deltas since the baseline
  };

  ChainCache() : slots_(std::make_unique<Entry[]>(kSlots)) {}

  bool Find(uint64_t epoch, uint64_t block, Entry* out) const {
    const size_t slot = SlotOf(epoch, block);
    MutexLock l(mutexes_[slot % kMutexes]);
    if (slots_[slot].epoch != epoch || slots_[slot].block != block) return false;
    *out = slots_[slot];
    return true;
  }
  void Put(const Entry& entry) {
    const size_t slot = SlotOf(entry.epoch, entry.block);
    MutexLock l(mutexes_[slot % kMutexes]);
    slots_[slot] = entry;
  }

 private:
  static constexpr size_t kSlots = 1 << 17;  // 5 MiB; as 8 KiB blocks, 1 GiB of working set
  static constexpr size_t kMutexes = 64;
  static size_t SlotOf(uint64_t epoch, uint64_t block) {
    return ((epoch * 0x9E3779B97F4A7C15ull) ^ (block * 0xC2B2AE3D27D4EB4Full)) >> 47;
  }
  static_assert((~uint64_t{0} >> 47) < kSlots);

  std::unique_ptr<Entry[]> slots_;
  mutable std::array<Mutex, kMutexes> mutexes_;
};

}  // namespace dkfs
