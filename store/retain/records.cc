#include "store/retain/records.h"

#include <fcntl.h>

#include "store/base/file.h"
#include "store/codec/record_body.h"

namespace dkfs::retain {

Result<Records> Records::Open(const std::string& journal_path, SegmentId id, SegmentKind kind) {
  DKFS_TRY_ASSIGN(UniqueFd dir, file::Open(AT_FDCWD, journal_path, O_RDONLY | O_DIRECTORY));
  DKFS_TRY_ASSIGN(SegmentScan scan, SegmentScan::Open(dir.get(), SegmentName(id, kind)));
  return Records(std::move(scan));
}

Status Records::Decode(const SegmentScan::Record& record, Record* out) {
  out->header = record.header;
  out->offset = static_cast<uint32_t>(record.offset);
  DKFS_TRY_ASSIGN(const Bytes body, codec::RecordBody(record.header, record.body, &body_));
  DKFS_TRY(DecodeItems(body, &out->items));
  for (Item& item : out->items) {
    if (!item.as_of) item.as_of = record.header.seq;
  }
  return Status::Ok();
}

Result<bool> Records::Next(Record* out) {
  SegmentScan::Record record;
  Result<SegmentScan::Place> place = scan_.Next(&record);
  if (!place.ok() && place.code() != ENOTSUP) return place.status();
  if (place.ok() && *place == SegmentScan::Place::kEnd) return false;
  if (!place.ok() || *place == SegmentScan::Place::kDamage) {
    const Status unread = place.ok() ? Status::Corruption(scan_.damage()) : place.status();
    DKFS_TRY_ASSIGN(bool more, scan_.FindNext());
    if (!more) scan_.Seek(scan_.size());
    return unread;
  }
  Status decoded = Decode(record, out);
  if (!decoded.ok()) return decoded.Prefix(scan_.name() + " at offset " + std::to_string(record.offset));
  return true;
}

Result<std::vector<uint64_t>> Records::Offsets() {
  std::vector<uint64_t> found;
  scan_.SkipBodies();
  for (;;) {
    SegmentScan::Record record;
    DKFS_TRY_ASSIGN(SegmentScan::Place place, scan_.Next(&record));
    if (place != SegmentScan::Place::kRecord) return found;
    found.push_back(record.offset);
  }
}

Status ResolveReference(Bytes payload, BlockVersion* version, Location* location) {
  Reference reference;
  DKFS_TRY(DecodeReference(payload, &reference));
  version->kind = reference.kind;
  version->stored_bytes = reference.stored_bytes;
  location->frame = reference.frame;
  location->offset = reference.offset;
  return Status::Ok();
}

Status EachVersion(const Records::Record& record, const SegmentHeader& segment,
                   const std::function<Status(const keys::BlockKey&, const BlockEntry&)>& each) {
  for (const Item& item : record.items) {
    const auto* blocks = std::get_if<BlocksItem>(&item.body);
    if (blocks == nullptr) continue;
    uint32_t at = 0;
    for (size_t i = 0; i < blocks->versions.size(); ++i) {
      BlockEntry entry{blocks->versions[i], LocationIn(segment.id, segment.kind, record.header.compressed(),
                                                       record.offset, item.payload_offset + at)};
      const uint32_t bytes = entry.version.stored_bytes;
      if (entry.version.kind == BlockKind::kReference) {
        DKFS_TRY(ResolveReference(item.payload.subspan(at, bytes), &entry.version, &entry.location));
      }
      DKFS_TRY(each({blocks->file, blocks->layout, blocks->first + i, item.as_of}, entry));
      at += bytes;
    }
  }
  return Status::Ok();
}

}  // namespace dkfs::retain
