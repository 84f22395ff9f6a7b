#include <algorithm>

#include "store/base/hash.h"
#include "store/codec/codec.h"
#include "store/record_rep.h"

namespace dkfs {
namespace {

// A shorter body says little twice.
constexpr size_t kLeastCompressed = 1 << 10;
// A longer one is a stream, in which LZ4 costs more than it saves, and to read one block all is decompressed; unless so
// little is left that the disk, which gets a stream twice, has half as much to do. A sample tells.
constexpr size_t kLongBody = 256 << 10;
constexpr size_t kLongBodyShare = 4;  // at most one in so many bytes may be left
constexpr size_t kLongBodySample = 16 << 10;

size_t MostKept(size_t bytes) { return bytes <= kLongBody ? bytes - bytes / 8 : bytes / kLongBodyShare; }

}  // namespace

void RecordBuilder::Rep::AddEncoded(size_t from) {
  const size_t added = encoded.size() - from;
  bytes += added;
  if (!parts.empty() && parts.back().payload == nullptr) {
    parts.back().bytes += added;
  } else if (added > 0) {
    parts.push_back({nullptr, from, added});
  }
}

void RecordBuilder::Rep::AddPayload(Bytes payload) {
  if (payload.empty()) return;
  if (!parts.empty() && parts.back().payload != nullptr &&
      parts.back().payload + parts.back().bytes == payload.data()) {
    parts.back().bytes += payload.size();
    bytes += payload.size();
  } else if (parts.size() + 2 < kMaxParts) {
    parts.push_back({payload.data(), 0, payload.size()});
    bytes += payload.size();
  } else {
    const size_t from = encoded.size();
    encoded.append(AsString(payload));
    AddEncoded(from);
  }
}

void RecordBuilder::Rep::Add(Item item) {
  const size_t from = encoded.size();
  EncodeItem(item, &encoded);
  AddEncoded(from);
  Keep(std::move(item));
}

void RecordBuilder::Rep::Keep(Item item) {
  constexpr size_t kUsual = 4;  // at most, in nearly all records
  if (items.empty()) items.reserve(kUsual);
  items.push_back(std::move(item));
}

MutableBytes RecordBuilder::Rep::Room::First(size_t n) {
  if (size < n) {
    data = std::make_unique_for_overwrite<std::byte[]>(n);
    size = n;
  }
  return {data.get(), n};
}

Bytes RecordBuilder::Rep::DataOf(const Part& part) const {
  return part.payload != nullptr ? Bytes(part.payload, part.bytes) : AsBytes(encoded).subspan(part.at, part.bytes);
}

bool RecordBuilder::Rep::SampleShrinks() {
  const Bytes longest = DataOf(*std::ranges::max_element(parts, {}, &Part::bytes));
  if (longest.size() < kLongBodySample) return false;
  const Bytes sample = longest.subspan((longest.size() - kLongBodySample) / 2, kLongBodySample);
  return codec::CompressFast(sample, shrunk_room_.First(sample.size() / kLongBodyShare)) > 0;
}

// LZ4 wants one piece.
size_t RecordBuilder::Rep::Shrink() {
  shrunk = Shrunk::kUntried;
  if (!compressible || bytes < kLeastCompressed || (bytes > kLongBody && !SampleShrinks())) return 0;
  const MutableBytes whole = whole_room_.First(bytes);
  size_t at = 0;
  for (const Part& part : parts) {
    std::copy_n(DataOf(part).data(), part.bytes, whole.data() + at);
    at += part.bytes;
  }
  const size_t stored = codec::CompressFast(whole, shrunk_room_.First(MostKept(bytes)));
  shrunk = stored > 0 ? Shrunk::kYes : Shrunk::kNo;
  return stored;
}

Journal::Body RecordBuilder::Rep::Stored(struct iovec* parts_out) {
  Journal::Body body;
  body.parts = parts_out;
  body.items = static_cast<uint32_t>(items.size());
  if (const size_t stored = Shrink(); stored > 0) {
    const MutableBytes data = shrunk_room_.First(stored);
    parts_out[0] = {data.data(), data.size()};
    body.count = 1;
    body.bytes = static_cast<uint32_t>(stored);
    body.checksum = Hash64(data);
    body.expanded_bytes = static_cast<uint32_t>(bytes);
    body.flags = kRecordLz4;
    return body;
  }
  body.count = Gather(parts_out, &body.checksum);
  body.bytes = static_cast<uint32_t>(bytes);
  return body;
}

int RecordBuilder::Rep::Gather(struct iovec* out, uint64_t* checksum) const {
  Hasher hasher;
  int count = 0;
  for (const Part& part : parts) {
    const Bytes data = DataOf(part);
    hasher.Update(data);
    out[count++] = {const_cast<std::byte*>(data.data()), data.size()};
  }
  *checksum = hasher.Finish();
  return count;
}

RecordBuilder::RecordBuilder() : rep_(std::make_unique<Rep>()) {}
RecordBuilder::~RecordBuilder() = default;
RecordBuilder::RecordBuilder(RecordBuilder&&) noexcept = default;

void RecordBuilder::Clear() {
  rep_->encoded.clear();
  rep_->parts.clear();
  rep_->items.clear();
  rep_->bytes = 0;
  rep_->request = 0;
  rep_->urgent = false;
  rep_->compressible = true;
}

bool RecordBuilder::empty() const { return rep_->items.empty(); }
size_t RecordBuilder::bytes() const { return rep_->bytes; }
void RecordBuilder::SetRequest(uint64_t unique) { rep_->request = unique; }
void RecordBuilder::SetUrgent() { rep_->urgent = true; }
void RecordBuilder::SetCompressible(bool yes) { rep_->compressible = yes; }
RecordBuilder::Shrunk RecordBuilder::shrunk() const { return rep_->shrunk; }

void RecordBuilder::Inode(FileId file, const InodeState& state) { rep_->Add({Seq{}, InodeItem{file, state}, 0, {}}); }
void RecordBuilder::InodeGone(FileId file) { rep_->Add({Seq{}, InodeItem{file, InodeState{}}, 0, {}}); }

void RecordBuilder::Name(FileId parent, EntryId entry, std::string_view name, FileId child, uint8_t dtype) {
  rep_->Add({Seq{}, NameItem{parent, entry, std::string(name), child, dtype}, 0, {}});
}

void RecordBuilder::NameGone(FileId parent, EntryId entry, std::string_view name) {
  rep_->Add({Seq{}, NameItem{parent, entry, std::string(name), FileId{}, 0}, 0, {}});
}

void RecordBuilder::Xattr(FileId file, std::string_view name, std::string_view value) {
  rep_->Add({Seq{}, XattrItem{file, std::string(name), std::string(value), false}, 0, {}});
}

void RecordBuilder::XattrGone(FileId file, std::string_view name) {
  rep_->Add({Seq{}, XattrItem{file, std::string(name), std::string(), true}, 0, {}});
}

void RecordBuilder::Range(FileId file, LayoutId layout, uint64_t first_block, uint64_t end_block) {
  rep_->Add({Seq{}, RangeItem{file, layout, first_block, end_block}, 0, {}});
}

void RecordBuilder::Void(Seq seq) {
  rep_->Add({Seq{}, VoidItem{seq}, 0, {}});
  SetUrgent();
}

void RecordBuilder::Blocks(FileId file, LayoutId layout, uint8_t block_shift, uint64_t first_block,
                           std::span<const BlockVersion> versions, std::span<const Bytes> payload, Seq as_of) {
  size_t stored = 0;
  for (const BlockVersion& version : versions) stored += version.stored_bytes;
  size_t given = 0;
  for (Bytes part : payload) given += part.size();
  DKFS_CHECK(stored == given && !versions.empty());

  Rep& rep = *rep_;
  BlocksItem item{file, layout, block_shift, first_block, {versions.begin(), versions.end()}};
  size_t from = rep.encoded.size();
  EncodeBlocksHeader(as_of, item, static_cast<uint32_t>(stored), &rep.encoded);
  rep.AddEncoded(from);
  rep.Keep({as_of, std::move(item), static_cast<uint32_t>(rep.bytes), {}});
  for (Bytes part : payload) rep.AddPayload(part);
  from = rep.encoded.size();
  rep.encoded.append(ItemPadding(stored), '\0');
  rep.AddEncoded(from);
}

}  // namespace dkfs
