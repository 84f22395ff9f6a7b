// Strong types for everything that is counted. None of them is ever reused.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <limits>

namespace dkfs {

template <class Tag>
struct Id {
  uint64_t value = 0;
  constexpr Id() = default;
  constexpr explicit Id(uint64_t v) : value(v) {}
  friend constexpr auto operator<=>(const Id&, const Id&) = default;
  constexpr explicit operator bool() const { return value != 0; }
};

using FileId = Id<struct FileIdTag>;    // an inode in the store; 48 bits used; 1 is the root
using EntryId = Id<struct EntryIdTag>;  // a directory entry; its readdir cookie; from 16 up (see kFirstEntryId)
using Seq = Id<struct SeqTag>;          // a record's place in the one order; the first is 1; 0 is "before everything"
using SegmentId = Id<struct SegmentIdTag>;  // a segment file, journal or pack; the first is 1
using LayoutId = Id<struct LayoutIdTag>;    // numbers a file's layouts from 1 on (32 bits used)

inline constexpr FileId kRootFile{1};
inline constexpr FileId kFirstFile{2};
inline constexpr EntryId kFirstEntry{16};  // smaller cookies are "." and ".."
inline constexpr Seq kLatest{std::numeric_limits<uint64_t>::max()};
inline constexpr uint64_t kMaxFileId = (uint64_t{1} << 48) - 1;
inline constexpr uint64_t kEndOfFile = std::numeric_limits<uint64_t>::max();  // as a block number: every later block

inline constexpr uint8_t kMinBlockShift = 12;      // 4 KiB
inline constexpr uint8_t kMaxBlockShift = 20;      // 1 MiB
inline constexpr uint8_t kDefaultBlockShift = 13;  // 8 KiB: PostgreSQL's page
inline constexpr size_t kMaxNameBytes = 255;
inline constexpr size_t kMaxXattrBytes = 64 * 1024;
inline constexpr size_t kMaxRecordBytes = 8 << 20;  // a record never exceeds this; a FUSE write is at most 1 MiB of it

}  // namespace dkfs

template <class Tag>
struct std::hash<dkfs::Id<Tag>> {
  size_t operator()(dkfs::Id<Tag> id) const noexcept { return std::hash<uint64_t>()(id.value * 0x9E3779B97F4A7C15ull); }
};
