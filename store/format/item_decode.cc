#include <algorithm>

#include "store/format/item.h"
#include "store/format/item_wire.h"
#include "store/format/keys.h"
#include "store/format/wire.h"

namespace dkfs {
namespace {

Status Bad(const char* what) { return Status::Corruption(std::string("item: ") + what); }

bool AllZero(Bytes few) {
  return std::all_of(few.begin(), few.end(), [](std::byte b) { return b == std::byte{0}; });
}

Status Decode(Bytes data, InodeItem* out) {
  ByteReader in(data);
  out->file = FileId{in.Le<uint64_t>()};
  if (!in.ok() || !wire::IsValid(out->file)) return Bad("inode without a file");
  return DecodeInodeState(in.Take(in.remaining()), &out->state);
}

Status Decode(Bytes data, NameItem* out) {
  ByteReader in(data);
  out->parent = FileId{in.Le<uint64_t>()};
  out->entry = EntryId{in.Le<uint64_t>()};
  out->child = FileId{in.Le<uint64_t>()};
  out->type = in.Le<uint8_t>();
  out->name = AsString(in.Take(in.Le<uint8_t>()));
  if (!wire::IsWhole(in)) return Bad("name of a wrong length");
  if (!wire::IsValid(out->parent) || !out->entry || out->child.value > kMaxFileId) return Bad("name out of range");
  return IsValidName(out->name) ? Status::Ok() : Bad("name that no directory may hold");
}

Status Decode(Bytes data, XattrItem* out) {
  ByteReader in(data);
  out->file = FileId{in.Le<uint64_t>()};
  const uint8_t gone = in.Le<uint8_t>();
  const uint8_t name_bytes = in.Le<uint8_t>();
  in.Take(2);
  const uint32_t value_bytes = in.Le<uint32_t>();
  out->name = AsString(in.Take(name_bytes));
  out->value = AsString(in.Take(value_bytes));
  out->gone = gone != 0;
  if (!wire::IsWhole(in)) return Bad("xattr of a wrong length");
  const bool named = !out->name.empty() && out->name.find('\0') == std::string::npos;
  if (!wire::IsValid(out->file) || gone > 1 || !named || value_bytes > kMaxXattrBytes) return Bad("xattr out of range");
  return Status::Ok();
}

Status Decode(Bytes data, RangeItem* out) {
  ByteReader in(data);
  out->file = FileId{in.Le<uint64_t>()};
  out->layout = LayoutId{in.Le<uint32_t>()};
  in.Take(4);
  out->first = in.Le<uint64_t>();
  out->end = in.Le<uint64_t>();
  if (!wire::IsWhole(in)) return Bad("range of a wrong length");
  const bool valid = wire::IsValid(out->file) && wire::IsValid(out->layout) && out->first <= out->end;
  return valid ? Status::Ok() : Bad("range out of range");
}

Status Decode(Bytes data, VoidItem* out) {
  ByteReader in(data);
  out->seq = Seq{in.Le<uint64_t>()};
  return wire::IsWhole(in) && out->seq ? Status::Ok() : Bad("void without a record");
}

Status Decode(Bytes data, MomentsItem* out) {
  ByteReader in(data);
  out->first = Seq{in.Le<uint64_t>()};
  const uint32_t count = in.Le<uint32_t>();
  in.Take(4);
  if (!in.ok() || in.remaining() != uint64_t{count} * wire::kTimeBytes) return Bad("moments of a wrong length");
  if (!out->first || out->first.value > UINT64_MAX - count) return Bad("moments out of range");
  out->times.resize(count);
  for (TimeSpec& time : out->times) {
    time = wire::ReadTime(&in);
    if (!wire::IsValid(time)) return Bad("moment out of range");
  }
  return Status::Ok();
}

bool IsWellFormed(const BlockVersion& version, uint64_t block_bytes) {
  switch (version.kind) {
    case BlockKind::kHole:
      return version.stored_bytes == 0;
    case BlockKind::kBaseline:
    case BlockKind::kDelta:
      return version.stored_bytes <= block_bytes;
    case BlockKind::kUnit:
      return version.stored_bytes > 0;
    case BlockKind::kReference:
      return version.stored_bytes == kReferenceBytes;
  }
  return false;
}

Status ReadVersions(ByteReader* in, uint32_t count, uint32_t payload_bytes, BlocksItem* out) {
  if (count == 0 || in->remaining() != uint64_t{count} * wire::kBlockVersionBytes + payload_bytes) {
    return Bad("blocks of a wrong length");
  }
  uint64_t stored = 0;
  out->versions.resize(count);
  for (BlockVersion& version : out->versions) {
    version.kind = static_cast<BlockKind>(in->Le<uint8_t>());
    version.chain_length = in->Le<uint8_t>();
    in->Take(2);
    version.stored_bytes = in->Le<uint32_t>();
    version.checksum = in->Le<uint64_t>();
    version.base_seq = Seq{in->Le<uint64_t>()};
    if (!IsWellFormed(version, uint64_t{1} << out->block_shift)) return Bad("block version out of range");
    stored += version.stored_bytes;
  }
  return stored == payload_bytes ? Status::Ok() : Bad("payload that is not its versions'");
}

Status DecodeBlocks(Bytes data, Item* item) {
  BlocksItem& out = item->body.emplace<BlocksItem>();
  ByteReader in(data);
  out.file = FileId{in.Le<uint64_t>()};
  out.layout = LayoutId{in.Le<uint32_t>()};
  out.block_shift = in.Le<uint8_t>();
  in.Take(3);
  out.first = in.Le<uint64_t>();
  const uint32_t count = in.Le<uint32_t>();
  const uint32_t payload_bytes = in.Le<uint32_t>();
  if (!in.ok()) return Bad("blocks cut short");
  if (!wire::IsValid(out.file) || !wire::IsValid(out.layout) || !wire::IsValidShift(out.block_shift) ||
      out.first >= uint64_t{1} << 52 || count > kMaxRecordBytes) {
    return Bad("blocks out of range");
  }
  DKFS_TRY(ReadVersions(&in, count, payload_bytes, &out));
  item->payload = in.Take(payload_bytes);
  item->payload_offset += static_cast<uint32_t>(data.size() - payload_bytes);
  return Status::Ok();
}

// `data` is the item without header and padding.
Status DecodeBody(ItemType type, Bytes data, Item* item) {
  switch (type) {
    case ItemType::kInode:
      return Decode(data, &item->body.emplace<InodeItem>());
    case ItemType::kName:
      return Decode(data, &item->body.emplace<NameItem>());
    case ItemType::kXattr:
      return Decode(data, &item->body.emplace<XattrItem>());
    case ItemType::kRange:
      return Decode(data, &item->body.emplace<RangeItem>());
    case ItemType::kBlocks:
      return DecodeBlocks(data, item);
    case ItemType::kVoid:
      return Decode(data, &item->body.emplace<VoidItem>());
    case ItemType::kMoments:
      return Decode(data, &item->body.emplace<MomentsItem>());
  }
  return Status::Error(ENOTSUP, "item of unknown type " + std::to_string(static_cast<int>(type)));
}

bool IsKnown(ItemType type) { return type >= ItemType::kInode && type <= ItemType::kMoments; }

}  // namespace

Status DecodeItems(Bytes body, std::vector<Item>* out) {
  if (body.size() > kMaxRecordBytes) return Bad("body too long");
  out->clear();
  ByteReader in(body);
  while (in.remaining() > 0) {
    const size_t start = body.size() - in.remaining();
    Item item;
    const auto type = static_cast<ItemType>(in.Le<uint16_t>());
    const uint16_t flags = in.Le<uint16_t>();
    const uint32_t length = in.Le<uint32_t>();
    item.as_of = Seq{in.Le<uint64_t>()};
    const Bytes data = in.Take(length);
    if (!AllZero(in.Take(ItemPadding(length))) || !in.ok()) return Bad("cut short");
    if (!IsKnown(type) && (flags & kItemMaySkip) != 0) continue;
    if ((flags & wire::kItemRefuseFlags) != 0) return Status::Error(ENOTSUP, "item with flags of a newer version");
    item.payload_offset = static_cast<uint32_t>(start + wire::kItemHeaderBytes);
    DKFS_TRY(DecodeBody(type, data, &item));
    if (!std::holds_alternative<BlocksItem>(item.body)) item.payload_offset = 0;
    out->push_back(std::move(item));
  }
  return Status::Ok();
}

bool IsValidName(std::string_view name) {
  if (name.empty() || name.size() > kMaxNameBytes || name == "." || name == "..") return false;
  return name.find('/') == std::string_view::npos && name.find('\0') == std::string_view::npos;
}

}  // namespace dkfs
