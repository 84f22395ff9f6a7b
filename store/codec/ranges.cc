// Changed ranges: { u32 offset, u32 length, bytes }..., ascending. Finding them is on the write path, so equal
// stretches are skipped 32 bytes and differing ones 8 bytes at a time.
#include <bit>

#include "store/codec/codec.h"

namespace dkfs::codec {
namespace {

constexpr size_t kJoin = 16;  // two runs with fewer equal bytes between them become one
constexpr size_t kRunHeader = 8;

uint64_t Xor(const std::byte* a, const std::byte* b) { return LoadLe<uint64_t>(a) ^ LoadLe<uint64_t>(b); }
size_t FirstByte(uint64_t difference) { return static_cast<size_t>(std::countr_zero(difference)) / 8; }
size_t BytesUpToLast(uint64_t difference) { return 8 - static_cast<size_t>(std::countl_zero(difference)) / 8; }

// The first position >= `at` where a and b differ; `size` when there is none.
size_t SkipEqual(const std::byte* a, const std::byte* b, size_t at, size_t size) {
  while (at + 32 <= size) {
    const uint64_t any = Xor(a + at, b + at) | Xor(a + at + 8, b + at + 8) | Xor(a + at + 16, b + at + 16) |
                         Xor(a + at + 24, b + at + 24);
    if (any != 0) break;
    at += 32;
  }
  for (; at + 8 <= size; at += 8) {
    const uint64_t difference = Xor(a + at, b + at);
    if (difference != 0) return at + FirstByte(difference);
  }
  while (at < size && a[at] == b[at]) ++at;
  return at;
}

// The end of the run that begins with the differing byte at `start`: kJoin equal bytes follow it, or the end of the
// data.
size_t RunEnd(const std::byte* a, const std::byte* b, size_t start, size_t size) {
  size_t end = start + 1;
  size_t at = end;
  for (; at + 8 <= size; at += 8) {
    const uint64_t difference = Xor(a + at, b + at);
    if (at - end + (difference != 0 ? FirstByte(difference) : 8) >= kJoin) return end;
    if (difference != 0) end = at + BytesUpToLast(difference);
  }
  for (; at < size && at - end < kJoin; ++at) {
    if (a[at] != b[at]) end = at + 1;
  }
  return end;
}

}  // namespace

bool DiffRanges(Bytes before, Bytes now, size_t limit, std::string* out) {
  DKFS_CHECK(before.size() == now.size() && now.size() <= UINT32_MAX);
  const size_t old_size = out->size();
  const size_t size = now.size();
  for (size_t at = SkipEqual(before.data(), now.data(), 0, size); at < size;) {
    const size_t end = RunEnd(before.data(), now.data(), at, size);
    if (out->size() - old_size + kRunHeader + (end - at) > limit) {
      out->resize(old_size);
      return false;
    }
    PutLe(out, static_cast<uint32_t>(at));
    PutLe(out, static_cast<uint32_t>(end - at));
    out->append(AsString(now.subspan(at, end - at)));
    at = SkipEqual(before.data(), now.data(), end, size);
  }
  return true;
}

Status PatchRanges(Bytes ranges, MutableBytes block) {
  ByteReader in(ranges);
  for (size_t floor = 0; in.remaining() > 0;) {
    const size_t offset = in.Le<uint32_t>();
    const size_t length = in.Le<uint32_t>();
    const Bytes bytes = in.Take(length);
    if (!in.ok()) return Status::Corruption("changed ranges cut short");
    if (length == 0 || offset < floor || offset > block.size() || length > block.size() - offset) {
      return Status::Corruption("changed range outside of its block");
    }
    std::memcpy(block.data() + offset, bytes.data(), length);
    floor = offset + length;
  }
  return Status::Ok();
}

}  // namespace dkfs::codec
