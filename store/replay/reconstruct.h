// Reconstruct: the bytes of a block at a moment, from the store alone. Pure with respect to the file system.
// Every result is checked against the checksum of its version: a mismatch is Corruption naming file, block and Seq, and
// the bytes are not given out (G6).
#pragma once

#include <memory>
#include <string>

#include "store/base/bytes.h"
#include "store/base/status.h"
#include "store/index/index.h"

namespace dkfs {

// Reads payloads out of segments: raw, or out of a compressed frame (a bounded cache of decoded frames is kept).
// Thread-safe. Keeps at most 16 segment files open.
class SegmentReader {
 public:
  SegmentReader(std::string journal_path, uint64_t cache_bytes = 16 << 20);
  ~SegmentReader();
  // Fills `out` with the payload at `where`. EUCLEAN when the segment is missing, cut short, or its frame does not decode.
  Status Read(const Location& where, MutableBytes out);
  void Forget(SegmentId id);  // before its file is deleted or replaced

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

class Reconstructor {
 public:
  Reconstructor(Index* index, SegmentReader* reader) : index_(index), reader_(reader) {}

  // Fills `out` (exactly one block of `state.block_shift`) with the block at `at`. A block without versions, or covered by
  // a newer range, is zeros. In a file whose content is kAdopting such a block below adopted_size is ENODATA: its content
  // was never captured.
  // `newest` (optional) receives the version's Seq (0: hole) and the checksum the result has.
  struct Newest { Seq seq; uint64_t checksum = 0; bool hole = true; };
  Status Block(FileId file, const InodeState& state, uint64_t block, Seq at, MutableBytes out, Newest* newest = nullptr);
  // The same without the bytes: which version is in force, so that a backing block can be compared by checksum.
  Status Describe(FileId file, const InodeState& state, uint64_t block, Seq at, Newest* newest);
  // True when some version of the block at or before `at` that is still kept has this checksum (a stale but explained
  // backing block), zeros counting as explained.
  Result<bool> Explains(FileId file, const InodeState& state, uint64_t block, Seq at, uint64_t checksum);

 private:
  Status Version(FileId file, LayoutId layout, uint64_t block, Seq seq, const BlockEntry& entry, int depth, MutableBytes out);
  Index* index_;
  SegmentReader* reader_;
};

}  // namespace dkfs
