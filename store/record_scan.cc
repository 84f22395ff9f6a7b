#include "store/record_scan.h"

#include <fcntl.h>

#include <algorithm>

#include "store/base/file.h"
#include "store/codec/record_body.h"

namespace dkfs {

Result<std::vector<ListedSegment>> ListSegments(const std::string& journal_path) {
  DKFS_TRY_ASSIGN(std::vector<std::string> names, file::ListDir(AT_FDCWD, journal_path));
  std::vector<ListedSegment> found;
  for (const std::string& name : names) {
    ListedSegment segment;
    if (!ParseSegmentName(name, &segment.id, &segment.kind).ok()) continue;
    segment.name = name;
    found.push_back(std::move(segment));
  }
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  return found;
}

Result<RecordScan> RecordScan::Open(const std::string& journal_path, const ListedSegment& segment, const Uuid& store) {
  const std::string path = journal_path + "/" + segment.name;
  DKFS_TRY_ASSIGN(UniqueFd dir, file::Open(AT_FDCWD, journal_path, O_RDONLY | O_DIRECTORY));
  Result<SegmentScan> scan = SegmentScan::Open(dir.get(), segment.name);
  if (!scan.ok()) return scan.status().Prefix(path);
  if (scan->header().store != store) return Status::Corruption(path + ": of another store");
  return RecordScan(std::move(scan).value(), path);
}

Result<bool> RecordScan::Next(Record* out) {
  SegmentScan::Record record;
  DKFS_TRY_ASSIGN(SegmentScan::Place place, scan_.Next(&record));
  if (place == SegmentScan::Place::kEnd) return false;
  if (place == SegmentScan::Place::kDamage) return Status::Corruption(path_ + ": " + scan_.damage());
  const Result<Bytes> body = codec::RecordBody(record.header, record.body, &body_);
  if (!body.ok()) return body.status().Prefix(path_ + " at offset " + std::to_string(record.offset));
  *out = {record.header, record.offset, *body};
  return true;
}

}  // namespace dkfs
