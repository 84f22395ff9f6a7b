// Reconstruct: the bytes of a block at a moment, from the store alone. Pure with respect to the file system.
//
// The newest version v (Seq sv) of the block in the inode's layout and the newest range that covers it (Seq sr) decide:
// sr > sv gives zeros. Otherwise the chain of v is decoded: a baseline, a hole or a unit ends it, a delta goes on at
// its base_seq (0: against zeros).
//
// Invariants
//   R1  Every result is checked against the checksum of its version: a mismatch is Corruption naming file, block and
//   Seq,
//       and the bytes are not given out (G6).
//   R2  A chain has at most 255 deltas and a unit's base lies at most kMaxUnitDepth units deep; beyond is Corruption.
//   R3  A payload that packing moved while we read is looked up again, so that gc never shows as damage.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "store/base/bytes.h"
#include "store/base/status.h"
#include "store/index/index.h"
#include "store/replay/buffer_pool.h"
#include "store/replay/segment_reader.h"
#include "store/replay/unit_cache.h"

namespace dkfs {

// Consecutive blocks of one sort, as a sequential reader wants them.
struct BlockRun {
  uint64_t first = 0;
  uint64_t count = 0;
  bool hole = false;  // zeros; no data
  Status status;      // not Ok: why these blocks cannot be given: damage (EUCLEAN), or ENODATA: never captured
  Bytes data;         // count blocks, valid until the callback returns, or as long as `owner` is held; empty for a hole
                      // or an error
  std::shared_ptr<const void> owner;
};

class Reconstructor {
 public:
  static constexpr size_t kRunBytes = 256 << 10;  // about a frame; stays in a core's cache between its readers

  Reconstructor(Index* index, SegmentReader* reader) : index_(index), reader_(reader), buffers_(kRunBytes, 64) {}

  // Fills `out` (exactly one block of `state.block_shift`) with the block at `at`. A block without versions, or covered
  // by a newer range, is zeros. In a file whose content is kAdopting such a block below adopted_size is ENODATA: its
  // content was never captured. `newest` (optional) receives the version's Seq (0: hole) and the checksum the result
  // has.
  struct Newest {
    Seq seq;
    uint64_t checksum = 0;
    bool hole = true;
  };
  Status Block(FileId file, const InodeState& state, uint64_t block, Seq at, MutableBytes out,
               Newest* newest = nullptr);
  // The same without the bytes: which version is in force, so that a backing block can be compared by checksum.
  Status Describe(FileId file, const InodeState& state, uint64_t block, Seq at, Newest* newest);
  // True when some version of the block at or before `at` that is still kept has this checksum (a stale but explained
  // backing block), zeros counting as explained.
  Result<bool> Explains(FileId file, const InodeState& state, uint64_t block, Seq at, uint64_t checksum);
  // All blocks of [first, end) in order, in runs of at most kRunBytes of data (or one block; holes of any length),
  // until `each` returns false. One pass over the index and large reads: the way to read a file from end to end. Errors
  // of single blocks come in BlockRun::status and do not end the pass; the result is Ok unless the index itself fails.
  Status Blocks(FileId file, const InodeState& state, uint64_t first, uint64_t end, Seq at,
                const std::function<bool(const BlockRun&)>& each);
  // First block >= `from` and below the file's size that holds data (a version that is not a hole, or uncaptured
  // content); ENXIO when there is none.
  Result<uint64_t> NextData(FileId file, const InodeState& state, uint64_t from, Seq at);
  // The version recorded at exactly `seq`, whatever covers or follows it: for verify. `out` is one block.
  Status ExactVersion(FileId file, LayoutId layout, uint64_t block, Seq seq, MutableBytes out);

 private:
  friend class BlockStream;
  static constexpr size_t kMaxChain = 256;  // 255 deltas and what they stand on
  struct Place {
    FileId file;
    LayoutId layout;
    uint8_t shift = 0;
    uint64_t block = 0;
  };
  // The version in force. Ok with `hole` for zeros; ENODATA for uncaptured content.
  Status InForce(const Place& place, const InodeState& state, Seq at, Newest* newest);
  // The same where the newest version at `at` is known: `entry`, null when there is none, at `seq`.
  Status Judge(const Place& place, const InodeState& state, Seq at, Seq seq, const BlockEntry* entry, Newest* newest);
  // Decodes the version at `seq` into `out` and checks it (R1, R3). `depth`: units above.
  Status Version(const Place& place, Seq seq, int depth, MutableBytes out);
  Status DecodeVersion(const Place& place, Seq seq, int depth, MutableBytes out, uint64_t* checksum);
  // The newest version at `at`, its Seq, and what it stands on, newest first. ENOENT: there is none. Corruption: what
  // it stands on is not all there.
  Status Chain(const Place& place, Seq at, Seq* seq, std::vector<BlockEntry>* chain);
  // Payloads lie scattered over the store: DecodeChain asks the disk for all before it waits for the first, PatchChain
  // is for those already asked for.
  static void AddPayloads(const std::vector<BlockEntry>& chain, std::vector<SegmentReader::Payload>* payloads);
  Status DecodeChain(const Place& place, const std::vector<BlockEntry>& chain, int depth, MutableBytes out);
  Status PatchChain(const Place& place, const std::vector<BlockEntry>& chain, int depth, MutableBytes out);
  Status Bottom(const Place& place, const BlockEntry& entry, int depth, MutableBytes out);
  Status Unit(const Place& place, const BlockEntry& entry, int depth, MutableBytes out);
  Result<UnitCache::Ref> DecodeWhole(const BlockEntry& entry, int depth);
  Status Region(FileId file, LayoutId layout, uint8_t shift, uint64_t first_byte, Seq at, int depth, MutableBytes out);
  Index* index_;
  SegmentReader* reader_;
  BufferPool buffers_;
  UnitCache units_;  // their payloads may be damaged: blocks of them are checked as any other (R1)
};

// The checksum of a block of zeros.
uint64_t ZeroChecksum(uint8_t block_shift);
// "file 12 block 7 (layout 1) as of seq 99", for messages.
std::string DescribePlace(FileId file, LayoutId layout, uint64_t block, Seq seq);

}  // namespace dkfs
