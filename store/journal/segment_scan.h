// SegmentScan: walks the records of one segment file, journal or pack. Reports damage with its place, and goes on after
// it. It is not for random access (store/replay/segment_reader.h), and does not decompress: a pack's body is the stored
// frame. Not thread-safe; reads only.
#pragma once

#include <string>
#include <vector>

#include "store/base/status.h"
#include "store/base/unique_fd.h"
#include "store/format/record.h"
#include "store/format/segment.h"

namespace dkfs {

class SegmentScan {
 public:
  enum class Place {
    kRecord,  // a whole record with good checksums
    kEnd,     // the file ends here (AtEof), or zeros stand where a record header should be; not before a pack's end
    kDamage,  // anything else; damage() says what
  };
  struct Record {
    RecordHeader header;
    uint64_t offset = 0;
    Bytes body;  // as stored, without padding; valid until the next call; empty when bodies are skipped
  };

  // Corruption for a bad or short segment header or one that is not `name`'s; ENOTSUP for a newer format.
  static Result<SegmentScan> Open(int dirfd, const std::string& name);

  const SegmentHeader& header() const { return header_; }
  const std::string& name() const { return name_; }
  uint64_t size() const { return size_; }
  uint64_t offset() const { return offset_; }  // of the place Next looks at
  bool AtEof() const { return offset_ == size_; }
  int fd() const { return fd_.get(); }
  void Seek(uint64_t offset) { offset_ = offset; }
  void SkipBodies() { bodies_ = false; }  // read and check headers only

  // Looks at the place at offset() and, when it holds a record, moves behind it. On damage to a body alone
  // record->header is the record's; else its seq is 0. Errors: reading failed, newer format.
  Result<Place> Next(Record* record);
  // Moves to the next valid record header behind offset(); false, and offset() stays, when there is none.
  Result<bool> FindNext();
  // "NAME at offset N: what", of the last kDamage.
  const std::string& damage() const { return damage_; }

 private:
  SegmentScan() = default;
  Result<Bytes> Load(uint64_t offset, size_t bytes);  // fewer only where the file ends
  Place Damaged(std::string_view what);
  Place End();

  UniqueFd fd_;
  std::string name_, damage_;
  SegmentHeader header_;
  uint64_t size_ = 0, offset_ = kSegmentHeaderBytes;
  bool bodies_ = true;
  bool short_pack_told_ = false;
  std::vector<std::byte> buffer_;  // holds [buffer_begin_, buffer_begin_ + buffer_bytes_) of the file
  uint64_t buffer_begin_ = 0;
  size_t buffer_bytes_ = 0;
};

}  // namespace dkfs
