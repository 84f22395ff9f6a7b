// Private to store/format: sizes of the parts of an item, shared by its writer and its reader (docs/format.md, Items).
#pragma once

#include <cstddef>
#include <cstdint>

namespace dkfs::wire {

inline constexpr size_t kItemHeaderBytes = 16;  // type, flags, length, as_of
inline constexpr size_t kNameFixedBytes = 26;   // then the name
inline constexpr size_t kXattrFixedBytes = 16;  // then name and value
inline constexpr size_t kRangeBytes = 32;
inline constexpr size_t kBlocksFixedBytes = 32;  // then the versions, then the payload
inline constexpr size_t kBlockVersionBytes = 24;
inline constexpr size_t kVoidBytes = 8;
inline constexpr size_t kMomentsFixedBytes = 16;  // then the times
inline constexpr size_t kTimeBytes = 12;
inline constexpr uint16_t kItemRefuseFlags = 0xFE;  // unknown flags among these refuse; the upper byte is ignored

}  // namespace dkfs::wire
