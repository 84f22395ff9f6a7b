#include "store/kv/table_end.h"

#include <algorithm>

#include "store/base/hash.h"

namespace dkfs {
namespace {

constexpr uint64_t kMagic = 0x88e241b785f4cff7;
constexpr size_t kHandlesEnd = 41, kVersionEnd = 45;
constexpr uint64_t kTrailer = 5;  // behind each block
constexpr uint64_t kMaxBytes = 1 << 20;
constexpr uint32_t kPrime = 0x6b9083d9;
constexpr std::string_view kProperties = "rocksdb.properties";

struct Handle {
  uint64_t offset = 0, bytes = 0;
  uint64_t end() const { return offset + bytes + kTrailer; }
};

// In its shortest form, the only one that is written.
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

// False for what does not end at or before `limit`.
bool TakeHandle(Bytes* in, uint64_t limit, Handle* handle) {
  return TakeVarint(in, &handle->offset) && TakeVarint(in, &handle->bytes) &&
         std::max(handle->offset, handle->bytes) < limit && handle->end() <= limit;
}

bool IsFooter(Bytes footer, uint64_t at, Handle* metaindex) {
  Bytes handles = footer.first(kHandlesEnd).subspan(1);
  Handle index;
  return static_cast<uint8_t>(footer[0]) == kTableChecksum &&
         LoadLe<uint32_t>(footer.data() + kHandlesEnd) == kTableFormat &&
         LoadLe<uint64_t>(footer.data() + kVersionEnd) == kMagic && TakeHandle(&handles, at, metaindex) &&
         metaindex->end() == at && TakeHandle(&handles, metaindex->offset, &index) && IsAllZero(handles);
}

bool MatchesChecksum(Bytes block_and_trailer) {
  const size_t bytes = block_and_trailer.size() - kTrailer;
  const auto compression = static_cast<uint8_t>(block_and_trailer[bytes]);
  const auto sum = static_cast<uint32_t>(Hash64(block_and_trailer.first(bytes)));
  return LoadLe<uint32_t>(block_and_trailer.data() + bytes + 1) == (sum ^ compression * kPrime);
}

bool FindProperties(std::string_view metaindex, uint64_t limit, Handle* properties) {
  const size_t at = metaindex.find(kProperties);
  if (at == std::string_view::npos) return false;
  Bytes value = AsBytes(metaindex.substr(at + kProperties.size()));
  return TakeHandle(&value, limit, properties) && properties->end() == limit;
}

}  // namespace

Status CheckTableEnd(uint64_t table_bytes, const std::function<Result<std::string>(uint64_t, size_t)>& read) {
  if (table_bytes < kTableFooterBytes) return Status::Corruption("a table cut short");
  const uint64_t footer_at = table_bytes - kTableFooterBytes;
  Handle metaindex, properties;
  DKFS_TRY_ASSIGN(const std::string footer, read(footer_at, kTableFooterBytes));
  if (!IsFooter(AsBytes(footer), footer_at, &metaindex)) return Status::Corruption("footer");
  if (metaindex.bytes > kMaxBytes) return Status::Corruption("footer");
  DKFS_TRY_ASSIGN(const std::string named, read(metaindex.offset, metaindex.bytes + kTrailer));
  if (!MatchesChecksum(AsBytes(named))) return Status::Corruption("metaindex");
  if (!FindProperties(named, metaindex.offset, &properties) || properties.bytes > kMaxBytes) {
    return Status::Corruption("no properties");
  }
  DKFS_TRY_ASSIGN(const std::string said, read(properties.offset, properties.bytes + kTrailer));
  return MatchesChecksum(AsBytes(said)) ? Status::Ok() : Status::Corruption("properties");
}

}  // namespace dkfs
