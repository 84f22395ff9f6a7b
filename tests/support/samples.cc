#include "tests/support/samples.h"

#include <algorithm>
#include <cstring>

namespace dkfs::test {
namespace {

LayoutId AnyLayout(Random* random) { return LayoutId{random->Magnitude() % UINT32_MAX + 1}; }
uint8_t AnyShift(Random* random) {
  return static_cast<uint8_t>(kMinBlockShift + random->Below(kMaxBlockShift - kMinBlockShift + 1));
}
SegmentId AnySegment(Random* random) { return SegmentId{random->Magnitude() + 1}; }

InodeItem AnyInodeItem(Random* random) { return {AnyFile(random), AnyInodeState(random)}; }

NameItem AnyNameItem(Random* random) {
  NameItem item{
      AnyFile(random), EntryId{random->Magnitude() % (UINT64_MAX - 16) + 16}, random->Name(kMaxNameBytes), {}, 0};
  if (random->OneIn(2)) item.child = AnyFile(random);
  item.type = static_cast<uint8_t>(random->Below(16));
  return item;
}

XattrItem AnyXattrItem(Random* random) {
  XattrItem item{AnyFile(random), random->Name(kMaxNameBytes), random->Text(random->Below(300)), false};
  item.gone = random->OneIn(3);
  return item;
}

RangeItem AnyRangeItem(Random* random) {
  RangeItem item{AnyFile(random), AnyLayout(random), random->Magnitude(), kEndOfFile};
  if (random->OneIn(2)) item.end = item.first + random->Below(kEndOfFile - item.first);
  return item;
}

BlockVersion AnyVersion(Random* random, uint64_t block_bytes) {
  BlockVersion version;
  version.kind = static_cast<BlockKind>(random->Below(5) + 1);
  version.checksum = random->Next();
  const auto some = static_cast<uint32_t>(random->Below(std::min<uint64_t>(block_bytes, 200)) + 1);
  if (version.kind != BlockKind::kHole) version.stored_bytes = some;
  if (version.kind == BlockKind::kReference) version.stored_bytes = kReferenceBytes;
  if (version.kind == BlockKind::kDelta) {
    version.base_seq = Seq{random->Magnitude()};
    version.chain_length = static_cast<uint8_t>(random->Below(255) + 1);
  }
  return version;
}

BlocksItem AnyBlocksItem(Random* random, std::string* payload) {
  BlocksItem item{AnyFile(random), AnyLayout(random), AnyShift(random), random->Below(uint64_t{1} << 52), {}};
  size_t stored = 0;
  for (uint64_t left = random->Below(5) + 1; left > 0; --left) {
    item.versions.push_back(AnyVersion(random, uint64_t{1} << item.block_shift));
    stored += item.versions.back().stored_bytes;
  }
  *payload = random->Text(stored);
  return item;
}

MomentsItem AnyMomentsItem(Random* random) {
  MomentsItem item{Seq{random->Below(1'000'000) + 1}, {}};
  for (uint64_t left = random->Below(8); left > 0; --left) item.times.push_back(AnyTime(random));
  return item;
}

}  // namespace

TimeSpec AnyTime(Random* random) {
  const auto sec = static_cast<int64_t>(random->Magnitude());
  return {random->OneIn(8) ? -sec : sec, static_cast<uint32_t>(random->Below(1'000'000'000))};
}

FileId AnyFile(Random* random) { return FileId{random->Magnitude() % kMaxFileId + 1}; }

InodeState AnyInodeState(Random* random) {
  InodeState s;
  s.mode = static_cast<uint32_t>(random->Next());
  s.uid = static_cast<uint32_t>(random->Magnitude());
  s.gid = static_cast<uint32_t>(random->Magnitude());
  s.nlink = static_cast<uint32_t>(random->Magnitude());
  s.size = random->Magnitude();
  s.atime = AnyTime(random);
  s.mtime = AnyTime(random);
  s.ctime = AnyTime(random);
  s.btime = AnyTime(random);
  s.layout = AnyLayout(random);
  s.block_shift = AnyShift(random);
  s.policy = PolicyOf(static_cast<uint8_t>(random->Next()));
  if (random->OneIn(3)) s.rdev = random->Magnitude();
  if (random->OneIn(3)) {
    s.content = ContentState::kAdopting;
    s.adopted_size = random->Magnitude();
  }
  if (random->OneIn(3)) {
    s.replaced = AnyFile(random);
    s.replaced_at = Seq{random->Magnitude()};
  }
  if (random->OneIn(3)) s.symlink_target = random->Name(4095);
  return s;
}

RecordHeader AnyRecordHeader(Random* random) {
  RecordHeader h;
  h.stored_bytes = static_cast<uint32_t>(random->Below(kMaxRecordBytes - kRecordHeaderBytes - 8));
  h.body_bytes = h.stored_bytes;
  if (random->OneIn(2)) {
    h.flags = random->OneIn(2) ? kRecordZstd : kRecordLz4;
    h.body_bytes = static_cast<uint32_t>(random->Below(kMaxRecordBytes));
  }
  h.length = static_cast<uint32_t>(RoundUp(kRecordHeaderBytes + h.stored_bytes, 8));
  h.item_count = static_cast<uint32_t>(random->Below(100));
  h.body_checksum = random->Next();
  h.seq = Seq{random->Magnitude()};
  h.synced = Seq{random->Magnitude()};
  h.time = AnyTime(random);
  h.request = random->Next();
  return h;
}

SegmentHeader AnySegmentHeader(Random* random) {
  SegmentHeader h;
  h.kind = random->OneIn(2) ? SegmentKind::kPack : SegmentKind::kJournal;
  std::memcpy(h.store.data(), random->Text(16).data(), 16);
  if (random->OneIn(2)) std::memcpy(h.parent.data(), random->Text(16).data(), 16);
  h.id = AnySegment(random);
  h.epoch = random->Magnitude();
  h.salt = random->Next();
  h.first_seq = Seq{random->Magnitude()};
  if (h.kind == SegmentKind::kPack) h.sources.resize(random->OneIn(8) ? 400 : random->Below(20));
  for (SegmentId& source : h.sources) source = AnySegment(random);
  if (h.kind == SegmentKind::kPack) h.max_file = FileId{random->Magnitude()};
  if (h.kind == SegmentKind::kPack) h.max_entry = EntryId{random->Magnitude()};
  if (h.kind == SegmentKind::kPack) h.bytes = random->Magnitude();
  return h;
}

BlockEntry AnyBlockEntry(Random* random) {
  BlockEntry entry{AnyVersion(random, 8192), {AnySegment(random), 0, static_cast<uint32_t>(random->Magnitude())}};
  if (entry.version.kind == BlockKind::kReference) entry.version.kind = BlockKind::kBaseline;
  if (random->OneIn(2)) entry.location.frame = static_cast<uint32_t>(random->Magnitude());
  return entry;
}

Item AnyItem(Random* random, std::string* payload) {
  Item item;
  if (random->OneIn(3)) item.as_of = Seq{random->Magnitude()};
  switch (random->Below(7)) {
    case 0:
      item.body = AnyInodeItem(random);
      break;
    case 1:
      item.body = AnyNameItem(random);
      break;
    case 2:
      item.body = AnyXattrItem(random);
      break;
    case 3:
      item.body = AnyRangeItem(random);
      break;
    case 4:
      item.body = AnyBlocksItem(random, payload);
      break;
    case 5:
      item.body = VoidItem{Seq{random->Magnitude() + 1}};
      break;
    default:
      item.body = AnyMomentsItem(random);
      break;
  }
  if (std::holds_alternative<BlocksItem>(item.body)) item.payload = AsBytes(*payload);
  return item;
}

std::string AnyBody(Random* random) {
  std::string body;
  for (uint64_t left = random->Below(4) + 1; left > 0; --left) {
    std::string payload;
    EncodeItem(AnyItem(random, &payload), &body);
  }
  return body;
}

}  // namespace dkfs::test
