#include "store/format/record.h"

#include <cstring>

#include "store/base/hash.h"
#include "store/format/wire.h"

namespace dkfs {
namespace {

constexpr size_t kChecksumOffset = 72;
// Unknown flags in the lower byte change how the body is read and refuse; those in the upper byte are ignored.
constexpr uint16_t kRefuseFlags = 0x00FF & ~(kRecordZstd | kRecordLz4);

template <class T>
void Store(std::byte** at, T value) {
  std::memcpy(*at, &value, sizeof value);
  *at += sizeof value;
}

bool LengthsHold(const RecordHeader& h) {
  if (h.stored_bytes > kMaxRecordBytes || h.body_bytes > kMaxRecordBytes || h.length > kMaxRecordBytes) return false;
  if (!h.compressed() && h.body_bytes != h.stored_bytes) return false;
  if ((h.flags & kRecordZstd) && (h.flags & kRecordLz4)) return false;
  return h.length == RoundUp(kRecordHeaderBytes + h.stored_bytes, 8);
}

}  // namespace

std::array<std::byte, kRecordHeaderBytes> EncodeRecordHeader(const RecordHeader& header, uint64_t salt) {
  std::array<std::byte, kRecordHeaderBytes> out;
  std::byte* at = out.data();
  Store<uint32_t>(&at, kRecordMagic);
  Store<uint16_t>(&at, kRecordVersion);
  Store<uint16_t>(&at, header.flags);
  Store<uint32_t>(&at, header.length);
  Store<uint32_t>(&at, header.stored_bytes);
  Store<uint32_t>(&at, header.body_bytes);
  Store<uint32_t>(&at, header.item_count);
  Store<uint64_t>(&at, header.body_checksum);
  Store<uint64_t>(&at, header.seq.value);
  Store<uint64_t>(&at, header.synced.value);
  Store<int64_t>(&at, header.time.sec);
  Store<uint32_t>(&at, header.time.nsec);
  Store<uint32_t>(&at, 0);
  Store<uint64_t>(&at, header.request);
  Store<uint64_t>(&at, Hash64({out.data(), kChecksumOffset}, salt));
  return out;
}

Status DecodeRecordHeader(Bytes data, uint64_t salt, RecordHeader* out) {
  if (data.size() < kRecordHeaderBytes) return Status::Corruption("record header cut short");
  ByteReader in(data.first(kRecordHeaderBytes));
  if (in.Le<uint32_t>() != kRecordMagic) return Status::Corruption("no record here");
  if (LoadLe<uint64_t>(data.data() + kChecksumOffset) != Hash64(data.first(kChecksumOffset), salt)) {
    return Status::Corruption("record header does not match its checksum");
  }
  const uint16_t version = in.Le<uint16_t>();
  RecordHeader h;
  h.flags = in.Le<uint16_t>();
  if (version > kRecordVersion || (h.flags & kRefuseFlags) != 0)
    return Status::Error(ENOTSUP, "record of a newer version");
  h.length = in.Le<uint32_t>();
  h.stored_bytes = in.Le<uint32_t>();
  h.body_bytes = in.Le<uint32_t>();
  h.item_count = in.Le<uint32_t>();
  h.body_checksum = in.Le<uint64_t>();
  h.seq = Seq{in.Le<uint64_t>()};
  h.synced = Seq{in.Le<uint64_t>()};
  h.time = wire::ReadTime(&in);
  in.Take(4);
  h.request = in.Le<uint64_t>();
  if (version == 0 || !LengthsHold(h) || !wire::IsValid(h.time))
    return Status::Corruption("record header out of range");
  *out = h;
  return Status::Ok();
}

Status CheckRecordBody(const RecordHeader& header, Bytes stored_body) {
  if (stored_body.size() == header.stored_bytes && Hash64(stored_body) == header.body_checksum) return Status::Ok();
  return Status::Corruption("body of record " + std::to_string(header.seq.value) + " does not match its checksum");
}

}  // namespace dkfs
