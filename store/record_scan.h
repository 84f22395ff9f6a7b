// RecordScan: the records of one segment file in order, with their decompressed bodies; and the list of segment files.
// For rebuilding the index, for reading the journal's tail without repairing it, and for verify. Not thread-safe; reads
// only.
#pragma once

#include <string>
#include <vector>

#include "store/base/bytes.h"
#include "store/base/status.h"
#include "store/format/record.h"
#include "store/format/segment.h"
#include "store/journal/segment_scan.h"

namespace dkfs {

struct ListedSegment {
  SegmentId id;
  SegmentKind kind = SegmentKind::kJournal;
  std::string name;
};
// The segment files in a journal directory in SegmentId order; other names are passed over. ENOENT when it is missing.
Result<std::vector<ListedSegment>> ListSegments(const std::string& journal_path);

class RecordScan {
 public:
  struct Record {
    RecordHeader header;
    uint64_t offset = 0;  // of its header in the file
    Bytes body;           // decompressed; valid until the next call
  };
  // Errors name the file. Corruption for a damaged header, or one of another store.
  static Result<RecordScan> Open(const std::string& journal_path, const ListedSegment& segment, const Uuid& store);

  const SegmentHeader& header() const { return scan_.header(); }
  uint64_t size() const { return scan_.size(); }
  uint64_t offset() const { return scan_.offset(); }  // of the place Next looks at
  bool AtEof() const { return scan_.AtEof(); }
  void Seek(uint64_t offset) { scan_.Seek(offset); }
  // False at the end: of the file, or zeros where a header of a journal should be. Corruption, naming file and offset,
  // for anything else that is not a record.
  Result<bool> Next(Record* out);
  // After Corruption: moves to the next valid record header; false when there is none.
  Result<bool> FindNext() { return scan_.FindNext(); }

 private:
  RecordScan(SegmentScan scan, std::string path) : scan_(std::move(scan)), path_(std::move(path)) {}

  SegmentScan scan_;
  std::string path_;
  std::vector<std::byte> body_;
};

}  // namespace dkfs
