// SegmentReader: payloads out of segments, raw or out of a compressed frame.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "store/base/bytes.h"
#include "store/base/status.h"
#include "store/format/ids.h"
#include "store/format/keys.h"

namespace dkfs {

// Keeps at most 16 segment files open and `cache_bytes` of decoded frames. Thread-safe: files and frames are shared
// with readers under way, so dropping one never pulls it away; no lock is held over i/o or decompression.
class SegmentReader {
 public:
  explicit SegmentReader(std::string journal_path, uint64_t cache_bytes = 16 << 20);
  ~SegmentReader();
  // Fills `out` with the payload at `where`. EUCLEAN when the segment is missing, cut short, or its frame does not
  // decode.
  Status Read(const Location& where, MutableBytes out);
  void Forget(SegmentId id);  // before its file is deleted or replaced

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace dkfs
