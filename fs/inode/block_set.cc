#include "fs/inode/block_set.h"

#include <algorithm>
#include <array>
#include <bit>
#include <boost/icl/interval_set.hpp>
#include <map>

namespace dkfs {
namespace {

constexpr uint64_t kChunk = 4096;  // blocks, and the bits of a bitmap
constexpr uint64_t kAll = ~uint64_t{0};

using Bits = std::array<uint64_t, kChunk / 64>;
using ChunkSet = boost::icl::interval_set<uint64_t, std::less, boost::icl::right_open_interval<uint64_t>>;
using ChunkRange = ChunkSet::interval_type;

// Bits [from, to) of one word; 0 <= from < to <= 64.
uint64_t Mask(uint64_t from, uint64_t to) { return (kAll << from) & (kAll >> (64 - to)); }

uint64_t CountOf(const Bits& bits) {
  uint64_t n = 0;
  for (const uint64_t word : bits) n += static_cast<uint64_t>(std::popcount(word));
  return n;
}

}  // namespace

struct BlockSet::Rep {
  ChunkSet whole;                    // chunks of which every block is in the set
  std::map<uint64_t, Bits> partial;  // by chunk; of a chunk in neither, no block is in the set
  uint64_t count = 0;

  void PutBits(uint64_t chunk, uint64_t first, uint64_t end, bool in);  // first, end: within the chunk
  void PutWhole(uint64_t first, uint64_t end, bool in);                 // first, end: chunks
  uint64_t Find(uint64_t from, uint64_t end, bool in) const;
};

BlockSet::BlockSet() = default;
BlockSet::BlockSet(BlockSet&&) noexcept = default;
BlockSet& BlockSet::operator=(BlockSet&&) noexcept = default;
BlockSet::~BlockSet() = default;

void BlockSet::Add(uint64_t first, uint64_t end) {
  if (rep_ == nullptr && first < end) rep_ = std::make_unique<Rep>();
  Put(first, end, true);
}

void BlockSet::Remove(uint64_t first, uint64_t end) {
  if (rep_ == nullptr) return;
  Put(first, end, false);
  if (rep_->count == 0) rep_.reset();
}

uint64_t BlockSet::Next(uint64_t from, uint64_t end) const {
  return rep_ == nullptr ? end : rep_->Find(from, end, true);
}

uint64_t BlockSet::NextOutside(uint64_t from, uint64_t end) const {
  return rep_ == nullptr ? std::min(from, end) : rep_->Find(from, end, false);
}

uint64_t BlockSet::count() const { return rep_ == nullptr ? 0 : rep_->count; }

void BlockSet::Put(uint64_t first, uint64_t end, bool in) {
  if (first >= end) return;
  const uint64_t head = first / kChunk, tail = end / kChunk;
  if (head == tail) return rep_->PutBits(head, first % kChunk, end % kChunk, in);
  const uint64_t inner = head + (first % kChunk != 0 ? 1 : 0);
  if (inner > head) rep_->PutBits(head, first % kChunk, kChunk, in);
  if (inner < tail) rep_->PutWhole(inner, tail, in);
  if (end % kChunk != 0) rep_->PutBits(tail, 0, end % kChunk, in);
}

void BlockSet::Rep::PutBits(uint64_t chunk, uint64_t first, uint64_t end, bool in) {
  auto at = partial.find(chunk);
  if (at == partial.end()) {
    const bool all = boost::icl::contains(whole, chunk);
    if (all == in) return;
    at = partial.emplace(chunk, Bits{}).first;
    if (all) {
      whole.subtract(ChunkRange(chunk, chunk + 1));
      at->second.fill(kAll);
    }
  }
  Bits& bits = at->second;
  for (uint64_t i = first; i < end;) {
    const uint64_t stop = std::min(end, (i / 64 + 1) * 64), mask = Mask(i % 64, stop - i / 64 * 64);
    uint64_t& word = bits[i / 64];
    const uint64_t before = word;
    word = in ? word | mask : word & ~mask;
    count += static_cast<uint64_t>(std::popcount(word)) - static_cast<uint64_t>(std::popcount(before));
    i = stop;
  }
  const uint64_t even = in ? kAll : 0;
  if (!std::all_of(bits.begin(), bits.end(), [even](uint64_t word) { return word == even; })) return;
  partial.erase(at);
  if (in) whole.add(ChunkRange(chunk, chunk + 1));
}

void BlockSet::Rep::PutWhole(uint64_t first, uint64_t end, bool in) {
  const auto begin = partial.lower_bound(first), stop = partial.lower_bound(end);
  for (auto at = begin; at != stop; ++at) count -= CountOf(at->second);
  partial.erase(begin, stop);
  const ChunkRange range(first, end);
  const auto [from, to] = whole.equal_range(range);
  for (auto at = from; at != to; ++at) {
    count -= (std::min(at->upper(), end) - std::max(at->lower(), first)) * kChunk;
  }
  if (in) {
    whole.add(range);
    count += (end - first) * kChunk;
  } else {
    whole.subtract(range);
  }
}

// Word by word where there is a bitmap, and otherwise from one end of a stretch to the next.
uint64_t BlockSet::Rep::Find(uint64_t from, uint64_t end, bool in) const {
  constexpr uint64_t kNone = kAll / kChunk + 1;
  while (from < end) {
    const uint64_t chunk = from / kChunk;
    const auto bits = partial.lower_bound(chunk);
    if (bits != partial.end() && bits->first == chunk) {
      for (uint64_t i = from % kChunk / 64; i < bits->second.size(); ++i) {
        const uint64_t base = chunk * kChunk + i * 64;
        uint64_t word = in ? bits->second[i] : ~bits->second[i];
        if (base < from) word &= kAll << (from - base);
        if (word != 0) return std::min(end, base + static_cast<uint64_t>(std::countr_zero(word)));
      }
      from = (chunk + 1) * kChunk;
      continue;
    }
    const auto stretch = whole.lower_bound(ChunkRange(chunk, chunk + 1));  // the first that does not end before it
    const bool inside = stretch != whole.end() && stretch->lower() <= chunk;
    if (inside == in) return from;
    uint64_t next = bits == partial.end() ? kNone : bits->first;
    if (stretch != whole.end()) next = std::min(next, inside ? stretch->upper() : stretch->lower());
    if (next == kNone) return end;
    from = next * kChunk;
  }
  return end;
}

}  // namespace dkfs
