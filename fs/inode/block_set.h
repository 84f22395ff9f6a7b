// BlockSet: a set of block numbers. A stretch that is in it as a whole takes one interval, however long; where blocks
// are in it singly, 4,096 of them share a bitmap. So the holes of a sparse file, of whatever size, take nothing, and
// an empty set takes a pointer.
//
// Not thread-safe. Ranges are [first, end). Blocks in the set are below 2^63; other ends may be any number.
#pragma once

#include <cstdint>
#include <memory>

namespace dkfs {

class BlockSet {
 public:
  BlockSet();
  BlockSet(BlockSet&&) noexcept;
  BlockSet& operator=(BlockSet&&) noexcept;
  ~BlockSet();

  void Add(uint64_t first, uint64_t end);
  void Remove(uint64_t first, uint64_t end);
  bool Contains(uint64_t block) const { return Next(block, block + 1) == block; }
  // First block of [from, end) that is in the set, or `end`.
  uint64_t Next(uint64_t from, uint64_t end) const;
  // First block of [from, end) that is not, or `end`.
  uint64_t NextOutside(uint64_t from, uint64_t end) const;
  uint64_t count() const;

 private:
  struct Rep;
  void Put(uint64_t first, uint64_t end, bool in);

  std::unique_ptr<Rep> rep_;  // null: empty
};

}  // namespace dkfs
