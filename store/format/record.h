// The record: the unit of the journal. 80-byte header, then a body of items (store/format/item.h), padded to 8 bytes.
//
// The header's checksum is seeded with the salt of the segment it lies in and covers the body's own checksum, so that
// only what was written as a record, into this life of this segment, reads as one.
#pragma once

#include <array>

#include "store/base/bytes.h"
#include "store/base/clock.h"
#include "store/base/status.h"
#include "store/format/ids.h"

namespace dkfs {

inline constexpr uint32_t kRecordMagic = 0x52'4b'46'44;  // "DFKR"
inline constexpr size_t kRecordHeaderBytes = 80;
inline constexpr uint16_t kRecordVersion = 1;

enum RecordFlags : uint16_t {
  // The stored body decompresses to body_bytes. At most one of them.
  kRecordZstd = 1,  // it is one zstd frame (packs)
  kRecordLz4 = 2,   // it is one LZ4 block (journal)
};

struct RecordHeader {
  uint32_t length = 0;        // header and stored body, padded to 8
  uint32_t stored_bytes = 0;  // stored body without padding
  uint32_t body_bytes = 0;    // body after decompression; equals stored_bytes when not compressed
  uint32_t item_count = 0;
  uint64_t body_checksum = 0;  // Hash64 of the stored body
  Seq seq;                     // journal: this record's; pack: the highest as_of in the frame
  Seq synced;                  // the highest Seq known to be synced when this was written
  TimeSpec time;               // wall clock
  uint16_t flags = 0;
  uint64_t request = 0;  // FUSE unique of the request it answers; 0: none
  bool compressed() const { return (flags & (kRecordZstd | kRecordLz4)) != 0; }
  friend bool operator==(const RecordHeader&, const RecordHeader&) = default;
};

std::array<std::byte, kRecordHeaderBytes> EncodeRecordHeader(const RecordHeader& header, uint64_t salt);
// Corruption unless magic, version, checksum and lengths hold. ENOTSUP for a newer version with a good checksum.
Status DecodeRecordHeader(Bytes data, uint64_t salt, RecordHeader* out);
// Corruption unless `stored_body` hashes to header.body_checksum.
Status CheckRecordBody(const RecordHeader& header, Bytes stored_body);

}  // namespace dkfs
