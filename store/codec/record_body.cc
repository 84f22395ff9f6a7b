#include "store/codec/record_body.h"

#include "store/codec/codec.h"

namespace dkfs::codec {

Status ExpandBody(const RecordHeader& header, Bytes stored, MutableBytes out) {
  return (header.flags & kRecordLz4) != 0 ? DecompressFast(stored, out) : Decompress(stored, out);
}

Result<Bytes> RecordBody(const RecordHeader& header, Bytes stored, std::vector<std::byte>* buffer) {
  if (!header.compressed()) return stored;
  if (header.body_bytes > kMaxRecordBytes) return Status::Corruption("record larger than allowed");
  if (buffer->size() < header.body_bytes) buffer->resize(header.body_bytes);
  const MutableBytes body = MutableBytes(*buffer).first(header.body_bytes);
  DKFS_TRY(ExpandBody(header, stored, body));
  return Bytes(body);
}

}  // namespace dkfs::codec
