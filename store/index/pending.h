// Pending: what the queue of an Index may hold something about, so that a question about anything else is answered
// from RocksDB at once. A counting filter: it may say "perhaps" without cause, never "no" while something is queued.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string_view>
#include <vector>

#include "store/format/item.h"

namespace dkfs {

// Thread-safe. Add comes before whoever enqueues the record returns, Remove after its rows are in RocksDB.
class Pending {
 public:
  void Add(const std::vector<Item>& items, bool pack) { Count(items, pack, +1); }
  void Remove(const std::vector<Item>& items, bool pack) { Count(items, pack, -1); }

  bool MayHoldInode(FileId file) const { return May(InodeKey(file)); }
  bool MayHoldName(FileId parent, std::string_view name) const { return May(NameKey(parent, name)); }
  bool MayHoldXattrs(FileId file) const { return May(XattrKey(file)); }

 private:
  static constexpr size_t kSlots = 4096;

  static uint64_t InodeKey(FileId file);
  static uint64_t NameKey(FileId parent, std::string_view name);
  static uint64_t XattrKey(FileId file);
  bool May(uint64_t key) const {
    return slots_[key % kSlots].load(std::memory_order_acquire) != 0 || any_.load(std::memory_order_acquire) != 0;
  }
  void Count(const std::vector<Item>& items, bool pack, int by);

  std::array<std::atomic<int32_t>, kSlots> slots_{};
  std::atomic<int32_t> any_{0};  // records that may change the answer to every question: voids and packs
};

}  // namespace dkfs
