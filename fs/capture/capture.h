// BlueShift: turns a change of a file's content into the record of it.
//
// A block that is written becomes a delta (changed ranges) when its predecessor is remembered, the pre-image still has
// the predecessor's checksum and the delta is small; otherwise a baseline. Chains are bounded (the
// deltas that the file's policy allows, and no more delta bytes than one block), so that a block costs one decode of a
// bounded chain. The policy and the block size are those of the state that is recorded.
//
// Capture appends; it changes neither the backing file nor the Inode's state: fs/ops does, after the append.
// Thread-safety: calls for one inode are ordered by its lock, which every function requires exclusively.
#pragma once

#include <string>
#include <vector>

#include "fs/capture/chain_cache.h"
#include "fs/inode/inode.h"
#include "store/store.h"

namespace dkfs {

// So much in one write is a stream: reading and comparing what it replaces costs more than it saves.
inline constexpr size_t kStreamBytes = 128 << 10;
inline bool IsStream(Bytes data) { return data.size() >= kStreamBytes; }

class Capture {
 public:
  static constexpr uint64_t kMaxRelayout = 4 << 20;  // bytes of content: what one record holds

  Capture(Store* store, bool delta) : store_(store), delta_(delta) {}

  // Records `data` at `offset` with the attributes `after`. REQUIRES: inode.backing is open, the blocks touched only in
  // part are present, and data.size() is 1 byte to 1 MiB.
  Result<Seq> Write(Inode& inode, uint64_t offset, Bytes data, const InodeState& after, uint64_t request)
      REQUIRES(inode.lock);
  // Records a change of size from inode.state.size to after.size. REQUIRES: the block that holds the new end is
  // present.
  Result<Seq> Resize(Inode& inode, const InodeState& after, uint64_t request) REQUIRES(inode.lock);
  // Records that [offset, offset + length) became zeros (punch, zero range). REQUIRES: both boundary blocks are
  // present.
  Result<Seq> Zero(Inode& inode, uint64_t offset, uint64_t length, const InodeState& after, uint64_t request)
      REQUIRES(inode.lock);

  // Records all content anew under the layout of `after`, whose number is higher and whose block size may be another.
  // REQUIRES: all is captured, at most kMaxRelayout bytes; nothing but layout and policy differs. Damage in the store
  // is an error, and nothing changed.
  Result<Seq> Relayout(Inode& inode, const InodeState& after) REQUIRES(inode.lock);

  // For a file whose content is kAdopting: records the blocks of [first, first + count) that are still only in the
  // backing file, as true since the file was adopted. Before any of them is changed inode.adopted_seq must be synced:
  // the backing file is the only other copy.
  Status Secure(Inode& inode, uint64_t first, uint64_t count) REQUIRES(inode.lock);

  // Of the next mebibyte from block *next on that is not captured yet, and moves *next behind it. False: none is left.
  Result<bool> SecureSome(Inode& inode, uint64_t* next) REQUIRES(inode.lock);

  // All of that is captured: records so. `after` is the state from this record on, for the caller to publish.
  Result<Seq> Conclude(Inode& inode, InodeState* after) REQUIRES(inode.lock);

  // The record `seq` could not be carried out on the backing file: voids it and forgets what was remembered.
  Status Void(Inode& inode, Seq seq) REQUIRES(inode.lock);

 private:
  struct Scratch;  // buffers of one thread, kept between calls
  static Scratch& ThreadScratch();
  Status AddBlock(Inode& inode, const InodeState& after, uint64_t block, uint64_t in_block, Bytes data,
                  Scratch* scratch) REQUIRES(inode.lock);
  // The block's bytes in the backing file, zero padded.
  Status ReadBacking(Inode& inode, uint64_t block, size_t block_size, MutableBytes out) REQUIRES(inode.lock);
  // A version of the boundary block in which [from, to) of the block is zeros; nothing when it is zeros already.
  Status AddZeroed(Inode& inode, const InodeState& after, uint64_t block, size_t from, size_t to, Scratch* scratch)
      REQUIRES(inode.lock);
  Result<Seq> WriteBlocks(Inode& inode, uint64_t offset, Bytes data, const InodeState& after, uint64_t request)
      REQUIRES(inode.lock);
  static void Charge(CaptureCosts* costs, uint64_t offset, uint64_t bytes, const InodeState& after,
                     const Scratch& scratch);
  uint64_t Epoch(Inode& inode) REQUIRES(inode.lock);
  static uint64_t NextEpoch();
  // Appends a record that holds content: compressed where the policy allows it and it has paid for this file.
  Result<Seq> AppendContent(Inode& inode, const CapturePolicy& policy, RecordBuilder* record) REQUIRES(inode.lock);
  Result<Seq> Append(Inode& inode, uint64_t first_block, const InodeState& after, Scratch* scratch)
      REQUIRES(inode.lock);

  Store* const store_;
  const bool delta_;
  ChainCache chains_;
};

}  // namespace dkfs
