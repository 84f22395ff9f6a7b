// Keys and values of the RocksDB index. Keys are big-endian and end in ~Seq, so that of several versions the newest
// comes first and a seek to (prefix, ~at) lands on the version in force at `at`.
//
//   block  (FileId, layout, block, ~Seq) -> BlockVersion, where its payload lies
//   range  (FileId, ~Seq, n)             -> RangeItem            n tells ranges of one record apart
//   inode  (FileId, ~Seq)                -> InodeState
//   name   (parent, name NUL, ~Seq)      -> child, EntryId, type  child 0: tombstone
//   entry  (parent, EntryId, ~Seq)       -> child, type, name     child 0: tombstone
//   link   (child, parent, EntryId, ~Seq)-> 1   names of an inode; one that ended is seen by its entry
//   xattr  (FileId, name NUL, ~Seq)      -> 1 value | 0           0: tombstone
//   moment (Seq)                         -> time, segment, offset of the record
//   segment(SegmentId)                   -> kind, first and last Seq, bytes
//   backing(FileId)                      -> fingerprint of the backing file at a clean unmount
//   meta   (text)                        -> indexed Seq and journal position, counters, ages, clock steps
#pragma once

#include <string>
#include <string_view>

#include "store/base/bytes.h"
#include "store/base/clock.h"
#include "store/format/ids.h"
#include "store/format/item.h"
#include "store/format/record.h"
#include "store/format/segment.h"

namespace dkfs {

// Where a version's payload lies. frame 0: at `offset` of the segment file, as stored. Otherwise `frame` is the offset
// of the compressed record in the segment and `offset` counts from the start of its decompressed body.
struct Location {
  SegmentId segment;
  uint32_t frame = 0;
  uint32_t offset = 0;
  friend auto operator<=>(const Location&, const Location&) = default;
};
// Of the payload at `position` of the body of the record at `offset`. A body is a frame in packs, and wherever it is
// compressed. The index and packing must agree on it.
inline Location LocationIn(SegmentId segment, SegmentKind kind, bool compressed, uint32_t offset, uint32_t position) {
  if (kind == SegmentKind::kPack || compressed) return {segment, offset, position};
  return {segment, 0, offset + static_cast<uint32_t>(kRecordHeaderBytes) + position};
}

struct BlockEntry {
  BlockVersion version;
  Location location;
  friend bool operator==(const BlockEntry&, const BlockEntry&) = default;
};

// The payload of a BlockKind::kReference version: where in the same segment the identical content stands, and how.
struct Reference {
  uint32_t frame = 0;
  uint32_t offset = 0;
  uint32_t stored_bytes = 0;              // of the payload that stands there
  BlockKind kind = BlockKind::kBaseline;  // of what stands there
};
inline constexpr size_t kReferenceBytes = 16;
void EncodeReference(const Reference& reference, std::string* out);
Status DecodeReference(Bytes payload, Reference* out);

namespace keys {

std::string Block(FileId file, LayoutId layout, uint64_t block, Seq seq);
std::string BlockPrefix(FileId file, LayoutId layout);
std::string BlockPrefix(FileId file);
std::string Range(FileId file, Seq seq, uint32_t n);
std::string Inode(FileId file, Seq seq);
std::string Name(FileId parent, std::string_view name, Seq seq);
std::string NamePrefix(FileId parent, std::string_view name);
std::string Entry(FileId parent, EntryId entry, Seq seq);
std::string Link(FileId child, FileId parent, EntryId entry, Seq seq);
std::string Xattr(FileId file, std::string_view name, Seq seq);
std::string OfFile(FileId file);  // prefix of range, inode, entry, name, link and xattr keys
std::string Moment(Seq seq);
std::string Segment(SegmentId id);

// Each takes a key made above apart; Corruption when it is not one.
struct BlockKey {
  FileId file;
  LayoutId layout;
  uint64_t block = 0;
  Seq seq;
};
struct RangeKey {
  FileId file;
  Seq seq;
  uint32_t n = 0;
};
struct InodeKey {
  FileId file;
  Seq seq;
};
struct NameKey {
  FileId parent;
  std::string name;
  Seq seq;
};
struct EntryKey {
  FileId parent;
  EntryId entry;
  Seq seq;
};
struct LinkKey {
  FileId child;
  FileId parent;
  EntryId entry;
  Seq seq;
};
struct XattrKey {
  FileId file;
  std::string name;
  Seq seq;
};
Status Parse(Bytes key, BlockKey* out);
Status Parse(Bytes key, RangeKey* out);
Status Parse(Bytes key, InodeKey* out);
Status Parse(Bytes key, NameKey* out);
Status Parse(Bytes key, EntryKey* out);
Status Parse(Bytes key, LinkKey* out);
Status Parse(Bytes key, XattrKey* out);
Status ParseMoment(Bytes key, Seq* out);
Status ParseSegment(Bytes key, SegmentId* out);

}  // namespace keys

struct NameValue {
  FileId child;
  EntryId entry;
  uint8_t type = 0;
};
struct EntryValue {
  FileId child;
  uint8_t type = 0;
  std::string name;
};
struct LinkName {  // one of an inode's names
  FileId parent;
  EntryId entry;
  std::string name;
};
struct MomentValue {
  TimeSpec time;
  SegmentId segment;
  uint32_t offset = 0;
};
struct SegmentValue {
  uint32_t kind = 0;
  Seq first;
  Seq last;
  uint64_t bytes = 0;
};
// What stat said of a backing file when it was known to be complete (G: drift is found by comparing).
struct Fingerprint {
  uint64_t inode = 0;
  uint64_t size = 0;
  TimeSpec mtime, ctime;
  friend bool operator==(const Fingerprint&, const Fingerprint&) = default;
};

namespace values {
std::string Encode(const BlockEntry& v);
std::string Encode(const RangeItem& v);
std::string Encode(const NameValue& v);
std::string Encode(const EntryValue& v);
std::string Encode(const MomentValue& v);
std::string Encode(const SegmentValue& v);
std::string Encode(const Fingerprint& v);
Status Decode(Bytes data, BlockEntry* out);
Status Decode(Bytes data, RangeItem* out);  // file is not part of the value: taken from the key by the caller
Status Decode(Bytes data, NameValue* out);
Status Decode(Bytes data, EntryValue* out);
Status Decode(Bytes data, MomentValue* out);
Status Decode(Bytes data, SegmentValue* out);
Status Decode(Bytes data, Fingerprint* out);
}  // namespace values

}  // namespace dkfs
