#include "fs/hydrate/presence.h"

#include <algorithm>
#include <bit>

namespace dkfs::presence {
namespace {

constexpr uint64_t kAll = ~uint64_t{0};

uint64_t EndOf(const Inode& inode) REQUIRES_SHARED(inode.lock) { return inode.present_blocks.size() * 64; }

// Bits [from, to) of one word; 0 <= from < to <= 64.
uint64_t Mask(uint64_t from, uint64_t to) { return (kAll << from) & (kAll >> (64 - to)); }

// each(word, mask of its bits in [first, end)), in order.
template <class Each>
void ForWords(uint64_t first, uint64_t end, Each each) {
  while (first < end) {
    const uint64_t stop = std::min(end, (first / 64 + 1) * 64);
    each(first / 64, Mask(first % 64, stop - first / 64 * 64));
    first = stop;
  }
}

// First block of [from, end) whose bit, exclusive-or `flip`, is set.
uint64_t FindSet(const Inode& inode, uint64_t from, uint64_t end, uint64_t flip) REQUIRES_SHARED(inode.lock) {
  while (from < end) {
    const uint64_t word = (inode.present_blocks[from / 64] ^ flip) & (kAll << (from % 64));
    if (word != 0) return std::min(end, from / 64 * 64 + static_cast<uint64_t>(std::countr_zero(word)));
    from = (from / 64 + 1) * 64;
  }
  return end;
}

}  // namespace

void Begin(Inode& inode, uint64_t blocks, bool absent) {
  inode.presence = Presence::kPartial;
  inode.present_blocks.assign((blocks + 63) / 64, absent ? 0 : kAll);
  inode.absent_count = absent ? blocks : 0;
  if (absent && blocks % 64 != 0) inode.present_blocks.back() = kAll << (blocks % 64);
}

void End(Inode& inode) {
  std::vector<uint64_t>().swap(inode.present_blocks);
  inode.absent_count = 0;
}

bool Has(const Inode& inode, uint64_t block) {
  return block >= EndOf(inode) || ((inode.present_blocks[block / 64] >> (block % 64)) & 1) != 0;
}

uint64_t NextAbsent(const Inode& inode, uint64_t from, uint64_t end) {
  const uint64_t limit = std::min(end, EndOf(inode));
  const uint64_t found = FindSet(inode, from, limit, kAll);
  return found < limit ? found : end;
}

uint64_t NextPresent(const Inode& inode, uint64_t from, uint64_t end) {
  const uint64_t limit = std::min(end, EndOf(inode));
  return from >= limit ? std::min(from, end) : FindSet(inode, from, limit, 0);
}

void Set(Inode& inode, uint64_t first, uint64_t end) {
  ForWords(first, std::min(end, EndOf(inode)), [&](uint64_t at, uint64_t mask) NO_THREAD_SAFETY_ANALYSIS {
    inode.absent_count -= static_cast<uint64_t>(std::popcount(mask & ~inode.present_blocks[at]));
    inode.present_blocks[at] |= mask;
  });
}

void ClearRange(Inode& inode, uint64_t first, uint64_t end) {
  if (end > EndOf(inode)) inode.present_blocks.resize((end + 63) / 64, kAll);
  ForWords(first, end, [&](uint64_t at, uint64_t mask) NO_THREAD_SAFETY_ANALYSIS {
    inode.absent_count += static_cast<uint64_t>(std::popcount(mask & inode.present_blocks[at]));
    inode.present_blocks[at] &= ~mask;
  });
}

}  // namespace dkfs::presence
