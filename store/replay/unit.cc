#include "store/replay/unit.h"

namespace dkfs {
namespace {

bool InRange(const UnitHeader& h) {
  if (h.base_shift < kMinBlockShift || h.base_shift > kMaxBlockShift) return false;
  if (!h.base_file || h.base_file.value > kMaxFileId || !h.base_layout || !h.base_seq) return false;
  if (h.base_bytes > kMaxUnitBytes || h.bytes == 0 || h.bytes > kMaxUnitBytes) return false;
  constexpr uint64_t kMaxOffset = uint64_t{1} << 63;
  if (h.base_first >= kMaxOffset || h.first >= kMaxOffset) return false;
  return h.base_first % (uint64_t{1} << h.base_shift) == 0 && h.first % (uint64_t{1} << kMinBlockShift) == 0;
}

}  // namespace

void EncodeUnitHeader(const UnitHeader& header, std::string* out) {
  PutLe<uint64_t>(out, header.base_file.value);
  PutLe<uint32_t>(out, static_cast<uint32_t>(header.base_layout.value));
  PutLe<uint8_t>(out, header.base_shift);
  out->append(3, '\0');
  PutLe<uint64_t>(out, header.base_seq.value);
  PutLe<uint64_t>(out, header.base_first);
  PutLe<uint64_t>(out, header.first);
  PutLe<uint32_t>(out, header.base_bytes);
  PutLe<uint32_t>(out, header.bytes);
}

Status DecodeUnit(Bytes payload, UnitHeader* header, Bytes* delta) {
  if (payload.size() < kUnitHeaderBytes) return Status::Corruption("unit shorter than its header");
  ByteReader reader(payload.first(kUnitHeaderBytes));
  header->base_file = FileId{reader.Le<uint64_t>()};
  header->base_layout = LayoutId{reader.Le<uint32_t>()};
  header->base_shift = reader.Le<uint8_t>();
  Bytes zeros = reader.Take(3);
  header->base_seq = Seq{reader.Le<uint64_t>()};
  header->base_first = reader.Le<uint64_t>();
  header->first = reader.Le<uint64_t>();
  header->base_bytes = reader.Le<uint32_t>();
  header->bytes = reader.Le<uint32_t>();
  for (std::byte b : zeros) {
    if (b != std::byte{0}) return Status::Corruption("unit header with unknown bits");
  }
  if (!InRange(*header)) return Status::Corruption("unit header out of range");
  *delta = payload.subspan(kUnitHeaderBytes);
  return Status::Ok();
}

}  // namespace dkfs
