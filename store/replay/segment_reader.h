// SegmentReader: payloads out of segments: where they stand in a journal segment, or in a pack's frame, which is
// compressed or stored plainly.
//
// Which checksum proves a payload (G6). A version's own covers the whole block that results, so whoever makes a block
// and checks that needs no other: Reconstructor reads by ReadToVerify and Share, and each byte that is stored plainly
// is hashed once. A frame's checksum is looked at where nothing else would notice: before decompressing, so that zstd
// only sees what was written, and in Read, for payloads that are carried on as they are (packing deltas and units).
// A journal record's checksum is recovery's and verify's affair.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "store/base/bytes.h"
#include "store/base/status.h"
#include "store/format/ids.h"
#include "store/format/keys.h"

namespace dkfs {

// Keeps at most 64 segment files open and `cache_bytes` of decoded frames. Thread-safe: files and frames are shared
// with readers under way, so dropping one never pulls it away; no lock is held over i/o or decompression.
class SegmentReader {
 public:
  explicit SegmentReader(std::string journal_path, uint64_t cache_bytes = 16 << 20);
  ~SegmentReader();
  // Fills `out` with the payload at `where`. EUCLEAN when the segment is missing, cut short, or its frame does not
  // decode or has a wrong checksum.
  Status Read(const Location& where, MutableBytes out);
  // The same, but the bytes of a frame stored plainly come unchecked and without the rest of their frame. REQUIRES: the
  // caller checks what it makes of them against the version's checksum before it gives anything out.
  Status ReadToVerify(const Location& where, MutableBytes out);
  // Bytes that stay as they are while `owner` is held.
  struct Shared {
    Bytes bytes;
    std::shared_ptr<const void> owner;
  };
  // Like ReadToVerify without a copy, if the payload lies in a compressed frame. Ok without an owner: it does not, and
  // nothing was read.
  Status Share(const Location& where, size_t bytes, Shared* out);
  // Begins to read what Reads of these payloads will ask for, and waits for none of it. What goes wrong shows when they
  // are read.
  struct Payload {
    Location where;
    size_t bytes;
  };
  void Expect(std::vector<Payload> payloads);
  void Forget(SegmentId id);  // before its file is deleted or replaced

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace dkfs
