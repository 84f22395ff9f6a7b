// Which stretches of files were rewritten most: advice about what to restore first, kept in the store's file `hot`.
//
// Losing it, or finding it damaged or of another state of the store, costs order and nothing else.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "store/base/status.h"
#include "store/format/ids.h"

namespace dkfs {

inline constexpr uint32_t kHotExtentShift = 18;  // 256 KiB
inline constexpr uint32_t kHotPageShift = 12;
inline constexpr size_t kMaxHotExtents = 16 << 10;  // 4 GiB

struct HotExtent {
  FileId file;
  uint64_t extent = 0;            // offset >> kHotExtentShift
  uint64_t heat = 0;              // comparable within one list only
  uint64_t pages = ~uint64_t{0};  // of 4 KiB each, one bit: those that it is hot for
  friend bool operator==(const HotExtent&, const HotExtent&) = default;
};

// Text: "dkfs hot 2", then a line "FILE EXTENT HEAT PAGES" for each, at most kMaxHotExtents; of version 1 without
// PAGES.
std::string EncodeHotExtents(const std::vector<HotExtent>& extents);
// Lines that begin with a letter are passed over. Corruption: anything else that is not understood; ENOTSUP: newer.
Result<std::vector<HotExtent>> DecodeHotExtents(std::string_view text);

}  // namespace dkfs
