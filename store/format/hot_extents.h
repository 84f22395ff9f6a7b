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

inline constexpr uint32_t kHotExtentShift = 18;     // 256 KiB
inline constexpr size_t kMaxHotExtents = 16 << 10;  // 4 GiB

struct HotExtent {
  FileId file;
  uint64_t extent = 0;  // offset >> kHotExtentShift
  uint64_t heat = 0;    // comparable within one list only
  friend bool operator==(const HotExtent&, const HotExtent&) = default;
};

// Text: "dkfs hot 1", then a line "FILE EXTENT HEAT" for each, at most kMaxHotExtents.
std::string EncodeHotExtents(const std::vector<HotExtent>& extents);
// Lines that begin with a letter are passed over. Corruption: anything else that is not understood; ENOTSUP: newer.
Result<std::vector<HotExtent>> DecodeHotExtents(std::string_view text);

}  // namespace dkfs
