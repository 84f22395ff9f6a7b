#include "store/kv/table_footer.h"

#include <algorithm>

namespace dkfs {
namespace {

constexpr uint64_t kMagic = 0x88e241b785f4cff7;
constexpr size_t kHandlesEnd = 41, kVersionEnd = 45;
constexpr uint64_t kTrailer = 5;  // behind each block

// In its shortest form only: that is what is written.
bool TakeVarint(Bytes* in, uint64_t* value) {
  *value = 0;
  for (int shift = 0; shift < 63 && !in->empty(); shift += 7) {
    const auto byte = static_cast<uint8_t>(in->front());
    *in = in->subspan(1);
    *value |= uint64_t{byte & 0x7fu} << shift;
    if (byte < 0x80) return byte != 0 || shift == 0;
  }
  return false;
}

bool AreHandles(Bytes in, uint64_t footer_at) {
  uint64_t metaindex, metaindex_bytes, index, index_bytes;
  if (!TakeVarint(&in, &metaindex) || !TakeVarint(&in, &metaindex_bytes) || !TakeVarint(&in, &index) ||
      !TakeVarint(&in, &index_bytes)) {
    return false;
  }
  const bool inside = std::max({metaindex, metaindex_bytes, index, index_bytes}) < footer_at;
  return inside && metaindex + metaindex_bytes + kTrailer == footer_at && index + index_bytes + kTrailer <= metaindex &&
         IsAllZero(in);
}

}  // namespace

bool IsTableFooter(Bytes footer, uint64_t table_bytes) {
  if (footer.size() != kTableFooterBytes || table_bytes < kTableFooterBytes) return false;
  return static_cast<uint8_t>(footer[0]) == kTableChecksum &&
         AreHandles(footer.first(kHandlesEnd).subspan(1), table_bytes - kTableFooterBytes) &&
         LoadLe<uint32_t>(footer.data() + kHandlesEnd) == kTableFormat &&
         LoadLe<uint64_t>(footer.data() + kVersionEnd) == kMagic;
}

}  // namespace dkfs
