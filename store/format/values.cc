#include "store/format/keys.h"
#include "store/format/wire.h"

namespace dkfs {

void EncodeReference(const Reference& reference, std::string* out) {
  wire::Writer w(out, kReferenceBytes);
  w.Le<uint32_t>(reference.frame);
  w.Le<uint32_t>(reference.offset);
  w.Le<uint32_t>(reference.stored_bytes);
  w.Le<uint32_t>(static_cast<uint32_t>(reference.kind));
}

Status DecodeReference(Bytes payload, Reference* out) {
  ByteReader in(payload);
  out->frame = in.Le<uint32_t>();
  out->offset = in.Le<uint32_t>();
  out->stored_bytes = in.Le<uint32_t>();
  const uint32_t kind = in.Le<uint32_t>();
  out->kind = static_cast<BlockKind>(kind);
  const bool valid =
      kind == static_cast<uint32_t>(BlockKind::kBaseline) || kind == static_cast<uint32_t>(BlockKind::kUnit);
  return wire::IsWhole(in) && valid ? Status::Ok() : Status::Corruption("reference of a block version");
}

namespace values {
namespace {

using wire::Writer;

Status Bad(const char* what) { return Status::Corruption(std::string("index: ") + what); }

bool IsIndexed(BlockKind kind) { return kind >= BlockKind::kHole && kind <= BlockKind::kUnit; }

}  // namespace

std::string Encode(const BlockEntry& v) {
  const bool delta = v.version.kind == BlockKind::kDelta;
  std::string out;
  Writer w(&out, delta ? 40 : 32);
  w.Le<uint8_t>(static_cast<uint8_t>(v.version.kind));
  w.Le<uint8_t>(v.version.chain_length);
  w.Zero(2);
  w.Le<uint32_t>(v.version.stored_bytes);
  w.Le<uint64_t>(v.version.checksum);
  w.Id64(v.location.segment);
  w.Le<uint32_t>(v.location.frame);
  w.Le<uint32_t>(v.location.offset);
  if (delta) w.Id64(v.version.base_seq);
  return out;
}

std::string Encode(const RangeItem& v) {
  std::string out;
  Writer w(&out, 24);
  w.Layout(v.layout);
  w.Zero(4);
  w.Le<uint64_t>(v.first);
  w.Le<uint64_t>(v.end);
  return out;
}

std::string Encode(const NameValue& v) {
  std::string out;
  Writer w(&out, 17);
  w.Id64(v.child);
  w.Id64(v.entry);
  w.Le<uint8_t>(v.type);
  return out;
}

std::string Encode(const EntryValue& v) {
  std::string out;
  Writer w(&out, 9 + v.name.size());
  w.Id64(v.child);
  w.Le<uint8_t>(v.type);
  w.Text(v.name);
  return out;
}

std::string Encode(const MomentValue& v) {
  std::string out;
  Writer w(&out, 24);
  w.Time(v.time);
  w.Le<uint32_t>(v.offset);
  w.Id64(v.segment);
  return out;
}

std::string Encode(const SegmentValue& v) {
  std::string out;
  Writer w(&out, 32);
  w.Le<uint32_t>(v.kind);
  w.Zero(4);
  w.Id64(v.first);
  w.Id64(v.last);
  w.Le<uint64_t>(v.bytes);
  return out;
}

std::string Encode(const Fingerprint& v) {
  std::string out;
  Writer w(&out, 40);
  w.Le<uint64_t>(v.inode);
  w.Le<uint64_t>(v.size);
  w.Time(v.mtime);
  w.Time(v.ctime);
  return out;
}

Status Decode(Bytes data, BlockEntry* out) {
  ByteReader in(data);
  BlockEntry v;
  v.version.kind = static_cast<BlockKind>(in.Le<uint8_t>());
  v.version.chain_length = in.Le<uint8_t>();
  in.Take(2);
  v.version.stored_bytes = in.Le<uint32_t>();
  v.version.checksum = in.Le<uint64_t>();
  v.location.segment = SegmentId{in.Le<uint64_t>()};
  v.location.frame = in.Le<uint32_t>();
  v.location.offset = in.Le<uint32_t>();
  if (v.version.kind == BlockKind::kDelta) v.version.base_seq = Seq{in.Le<uint64_t>()};
  if (!wire::IsWhole(in) || !IsIndexed(v.version.kind)) return Bad("block entry out of range");
  if (v.version.stored_bytes > kMaxRecordBytes) return Bad("block entry too long");
  *out = v;
  return Status::Ok();
}

Status Decode(Bytes data, RangeItem* out) {
  ByteReader in(data);
  out->layout = LayoutId{in.Le<uint32_t>()};
  in.Take(4);
  out->first = in.Le<uint64_t>();
  out->end = in.Le<uint64_t>();
  return wire::IsWhole(in) && out->first <= out->end ? Status::Ok() : Bad("range out of range");
}

Status Decode(Bytes data, NameValue* out) {
  ByteReader in(data);
  out->child = FileId{in.Le<uint64_t>()};
  out->entry = EntryId{in.Le<uint64_t>()};
  out->type = in.Le<uint8_t>();
  return wire::IsWhole(in) && out->child.value <= kMaxFileId ? Status::Ok() : Bad("name out of range");
}

Status Decode(Bytes data, EntryValue* out) {
  ByteReader in(data);
  out->child = FileId{in.Le<uint64_t>()};
  out->type = in.Le<uint8_t>();
  out->name = AsString(in.Take(in.remaining()));
  const bool named = IsValidName(out->name) || (out->name.empty() && !out->child);
  return in.ok() && named && out->child.value <= kMaxFileId ? Status::Ok() : Bad("entry out of range");
}

Status Decode(Bytes data, MomentValue* out) {
  ByteReader in(data);
  out->time = wire::ReadTime(&in);
  out->offset = in.Le<uint32_t>();
  out->segment = SegmentId{in.Le<uint64_t>()};
  return wire::IsWhole(in) && wire::IsValid(out->time) ? Status::Ok() : Bad("moment out of range");
}

Status Decode(Bytes data, SegmentValue* out) {
  ByteReader in(data);
  out->kind = in.Le<uint32_t>();
  in.Take(4);
  out->first = Seq{in.Le<uint64_t>()};
  out->last = Seq{in.Le<uint64_t>()};
  out->bytes = in.Le<uint64_t>();
  return wire::IsWhole(in) ? Status::Ok() : Bad("segment of a wrong length");
}

Status Decode(Bytes data, Fingerprint* out) {
  ByteReader in(data);
  out->inode = in.Le<uint64_t>();
  out->size = in.Le<uint64_t>();
  out->mtime = wire::ReadTime(&in);
  out->ctime = wire::ReadTime(&in);
  const bool valid = wire::IsWhole(in) && wire::IsValid(out->mtime) && wire::IsValid(out->ctime);
  return valid ? Status::Ok() : Bad("fingerprint out of range");
}

}  // namespace values
}  // namespace dkfs
