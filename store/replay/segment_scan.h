// SegmentScan: the records of one segment file in order, read-only and checked. For rebuilding the index, for reading the
// journal's tail without repairing it, and for verify. Memory: one record and a window of the file. Not thread-safe.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "store/base/bytes.h"
#include "store/base/status.h"
#include "store/base/unique_fd.h"
#include "store/format/record.h"
#include "store/format/segment.h"

namespace dkfs {

struct SegmentFile {
  SegmentId id;
  SegmentKind kind = SegmentKind::kJournal;
  std::string path;
};
// The segment files in a journal directory in SegmentId order; other names are passed over. ENOENT when it is missing.
Result<std::vector<SegmentFile>> ListSegments(const std::string& journal_path);

class SegmentScan {
 public:
  struct Record {
    RecordHeader header;
    uint64_t offset = 0;  // of its header in the file
    Bytes body;           // decompressed; valid until the next call
  };
  // Errors name the file. Corruption for a damaged header, or one that is not of `store` (all zero: any).
  static Result<SegmentScan> Open(const SegmentFile& segment, const Uuid& store);

  const SegmentHeader& header() const { return header_; }
  uint64_t size() const { return size_; }
  uint64_t offset() const { return offset_; }  // of the record that Next takes
  void Skip(uint64_t offset) { offset_ = offset; }
  // False at the end: of the file, or zeros where a header should be. Corruption (with path and offset) for anything else
  // that is not a record; offset() then still names its place.
  Result<bool> Next(Record* out);
  // Goes on behind a record whose body is damaged but whose header holds; false when the header does not hold either.
  bool SkipDamaged();

 private:
  SegmentScan() = default;
  Result<Bytes> At(uint64_t offset, size_t bytes);
  Status Damage(const Status& status) const;

  std::string path_;
  UniqueFd fd_;
  SegmentHeader header_;
  uint64_t size_ = 0;
  uint64_t offset_ = kSegmentHeaderBytes;
  uint64_t window_at_ = 0;
  std::vector<std::byte> window_;
  std::vector<std::byte> body_;
};

}  // namespace dkfs
