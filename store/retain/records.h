// Records: the items of one source in file order, decoded; journal segment or pack. Not thread-safe; reads only.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "store/base/status.h"
#include "store/format/item.h"
#include "store/format/keys.h"
#include "store/format/record.h"
#include "store/format/segment.h"
#include "store/journal/segment_scan.h"

namespace dkfs::retain {

class Records {
 public:
  struct Record {
    RecordHeader header;
    uint32_t offset = 0;      // of its header in the file
    std::vector<Item> items;  // as_of filled in; payloads are valid until the next call
  };
  static Result<Records> Open(const std::string& journal_path, SegmentId id, SegmentKind kind);
  const SegmentHeader& header() const { return scan_.header(); }

  // False at the end. EUCLEAN for what is not a record or does not decode: calling again goes on behind it.
  Result<bool> Next(Record* out);
  // The places of all record headers that are whole, without reading bodies.
  Result<std::vector<uint64_t>> Offsets();
  void Seek(uint64_t offset) { scan_.Seek(offset); }

 private:
  explicit Records(SegmentScan scan) : scan_(std::move(scan)) {}
  Status Decode(const SegmentScan::Record& record, Record* out);

  SegmentScan scan_;
  std::vector<std::byte> body_;
};

// Where a version stands in its file: the reference resolved, the version's kind and stored_bytes those of the target.
Status ResolveReference(Bytes payload, BlockVersion* version, Location* location);
// Calls `each` for every block version of the record with its index entry, until an error.
Status EachVersion(const Records::Record& record, const SegmentHeader& segment,
                   const std::function<Status(const keys::BlockKey&, const BlockEntry&)>& each);

}  // namespace dkfs::retain
