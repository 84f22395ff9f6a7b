#include "store/format/item.h"
#include "store/format/item_wire.h"
#include "store/format/wire.h"

namespace dkfs {
namespace {

using wire::Writer;

void PutHeader(Writer* w, ItemType type, Seq as_of, size_t length) {
  DKFS_CHECK(length <= kMaxRecordBytes);
  w->Le<uint16_t>(static_cast<uint16_t>(type));
  w->Le<uint16_t>(0);
  w->Le<uint32_t>(static_cast<uint32_t>(length));
  w->Id64(as_of);
}

// Fixed-size item, or one whose length is known beforehand: header, body, padding.
class ItemWriter {
 public:
  ItemWriter(std::string* out, ItemType type, Seq as_of, size_t length)
      : padding_(ItemPadding(length)), w_(out, wire::kItemHeaderBytes + length + padding_) {
    PutHeader(&w_, type, as_of, length);
  }
  ~ItemWriter() { w_.Zero(padding_); }
  Writer* operator->() { return &w_; }

 private:
  size_t padding_;
  Writer w_;
};

void Encode(Seq as_of, const InodeItem& item, std::string* out) {
  const size_t start = out->size();
  {
    Writer w(out, wire::kItemHeaderBytes + 8);
    PutHeader(&w, ItemType::kInode, as_of, 0);  // the length follows below
    w.Id64(item.file);
  }
  EncodeInodeState(item.state, out);
  const size_t length = out->size() - start - wire::kItemHeaderBytes;
  const auto length32 = static_cast<uint32_t>(length);
  std::memcpy(out->data() + start + 4, &length32, sizeof length32);
  out->append(ItemPadding(length), '\0');
}

void Encode(Seq as_of, const NameItem& item, std::string* out) {
  DKFS_CHECK(item.name.size() <= kMaxNameBytes);
  ItemWriter w(out, ItemType::kName, as_of, wire::kNameFixedBytes + item.name.size());
  w->Id64(item.parent);
  w->Id64(item.entry);
  w->Id64(item.child);
  w->Le<uint8_t>(item.type);
  w->Le<uint8_t>(static_cast<uint8_t>(item.name.size()));
  w->Text(item.name);
}

void Encode(Seq as_of, const XattrItem& item, std::string* out) {
  DKFS_CHECK(item.name.size() <= kMaxNameBytes && item.value.size() <= kMaxXattrBytes);
  ItemWriter w(out, ItemType::kXattr, as_of, wire::kXattrFixedBytes + item.name.size() + item.value.size());
  w->Id64(item.file);
  w->Le<uint8_t>(item.gone ? 1 : 0);
  w->Le<uint8_t>(static_cast<uint8_t>(item.name.size()));
  w->Zero(2);
  w->Le<uint32_t>(static_cast<uint32_t>(item.value.size()));
  w->Text(item.name);
  w->Text(item.value);
}

void Encode(Seq as_of, const RangeItem& item, std::string* out) {
  ItemWriter w(out, ItemType::kRange, as_of, wire::kRangeBytes);
  w->Id64(item.file);
  w->Layout(item.layout);
  w->Zero(4);
  w->Le<uint64_t>(item.first);
  w->Le<uint64_t>(item.end);
}

void Encode(Seq as_of, const VoidItem& item, std::string* out) {
  ItemWriter w(out, ItemType::kVoid, as_of, wire::kVoidBytes);
  w->Id64(item.seq);
}

void Encode(Seq as_of, const MomentsItem& item, std::string* out) {
  ItemWriter w(out, ItemType::kMoments, as_of, wire::kMomentsFixedBytes + item.times.size() * wire::kTimeBytes);
  w->Id64(item.first);
  w->Le<uint32_t>(static_cast<uint32_t>(item.times.size()));
  w->Zero(4);
  for (const TimeSpec& time : item.times) w->Time(time);
}

}  // namespace

void EncodeItem(const Item& item, std::string* out) {
  std::visit(
      [&](const auto& body) {
        if constexpr (std::is_same_v<std::decay_t<decltype(body)>, BlocksItem>) {
          EncodeBlocksHeader(item.as_of, body, static_cast<uint32_t>(item.payload.size()), out);
          out->append(AsString(item.payload));
          out->append(ItemPadding(item.payload.size()), '\0');
        } else {
          Encode(item.as_of, body, out);
        }
      },
      item.body);
}

void EncodeBlocksHeader(Seq as_of, const BlocksItem& item, uint32_t payload_bytes, std::string* out) {
  const size_t front = wire::kBlocksFixedBytes + item.versions.size() * wire::kBlockVersionBytes;
  static_assert(
      wire::kItemHeaderBytes % 8 == 0 && wire::kBlocksFixedBytes % 8 == 0 && wire::kBlockVersionBytes % 8 == 0,
      "the padding depends on the payload alone");
  Writer w(out, wire::kItemHeaderBytes + front);
  PutHeader(&w, ItemType::kBlocks, as_of, front + payload_bytes);
  w.Id64(item.file);
  w.Layout(item.layout);
  w.Le<uint8_t>(item.block_shift);
  w.Zero(3);
  w.Le<uint64_t>(item.first);
  w.Le<uint32_t>(static_cast<uint32_t>(item.versions.size()));
  w.Le<uint32_t>(payload_bytes);
  for (const BlockVersion& version : item.versions) {
    w.Le<uint8_t>(static_cast<uint8_t>(version.kind));
    w.Le<uint8_t>(version.chain_length);
    w.Zero(2);
    w.Le<uint32_t>(version.stored_bytes);
    w.Le<uint64_t>(version.checksum);
    w.Id64(version.base_seq);
  }
}

}  // namespace dkfs
