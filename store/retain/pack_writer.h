// PackWriter: writes one pack segment. Items are gathered into frames (records whose body is one zstd frame) of about
// 256 KiB, so that reading one block decodes little, or of 7 MiB for files whose policy asks for long ones; the file is
// made under a temporary name, synced, and published by rename, so a pack under its own name is whole.
//
// Content that stands in the pack already is not written again: the version becomes a reference to its place.
// Memory: one frame, its compressed form, and a bounded table of contents. Not thread-safe.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "store/base/unique_fd.h"
#include "store/format/item.h"
#include "store/format/keys.h"
#include "store/format/record.h"
#include "store/retain/context.h"

namespace dkfs::retain {

inline constexpr char kTemporarySuffix[] = ".tmp";

class PackWriter {
 public:
  static Result<std::unique_ptr<PackWriter>> Create(const Context& context, SegmentId id);
  ~PackWriter();  // removes the temporary file unless published

  // Any item but blocks. REQUIRES: as_of set (but for moments).
  Status Add(const Item& item);
  // One version; runs of blocks of one Seq become one item.
  Status AddBlock(const keys::BlockKey& key, uint8_t shift, const BlockVersion& version, Bytes payload);
  struct Packing {
    int level = 0;  // zstd's; 0: stored as it is
    bool long_frames = false;
    friend bool operator==(const Packing&, const Packing&) = default;
  };
  // How what is added from now on is compressed. A frame is packed in one way.
  Status SetPacking(Packing packing);
  // A kUnit's payload is written once, for its first block; the other blocks refer to it. After AddBlock of a kUnit
  // unit() is its place.
  const Reference& unit() const { return unit_; }
  Status AddReference(const keys::BlockKey& key, uint8_t shift, const BlockVersion& version, const Reference& place);

  uint64_t bytes() const { return file_bytes_; }
  SegmentValue value() const;  // of the segment's row, once published
  SegmentId id() const { return header_.id; }
  // Ends the pack and publishes it: header with the sources, fsync, rename, fsync of the directory.
  Status Publish(const std::vector<SegmentId>& sources);

 private:
  struct Content {
    uint64_t check = 0;  // a second hash under a seed nobody outside knows: equal pairs are equal bytes
    uint32_t bytes = 0;
    Reference place;
  };
  PackWriter(const Context& context, SegmentId id)
      : context_(context), id_(id), packing_{context.compression_level, false} {}
  Status Begin();
  Status AddVersion(const keys::BlockKey& key, uint8_t shift, const BlockVersion& version, Bytes payload);
  Status CloseItem();
  Status MakeRoom(size_t bytes);  // ends the frame when these do not fit into it
  Status FlushFrame();
  void NoteSeq(Seq seq);
  bool Joins(const keys::BlockKey& key, uint8_t shift) const;

  const Context& context_;
  const SegmentId id_;
  std::string temporary_, name_;
  UniqueFd dir_, fd_;
  bool published_ = false;
  SegmentHeader header_;
  Seq first_ = kLatest, last_;
  uint64_t file_bytes_ = kSegmentHeaderBytes;

  Packing packing_;   // of the frame being gathered
  std::string body_;  // the frame being gathered
  uint32_t items_ = 0;
  Seq frame_last_;
  BlocksItem open_;  // the item being gathered; no versions: none
  Seq open_seq_;
  std::string payload_;

  uint64_t seed_ = 0;
  std::unordered_map<uint64_t, Content> contents_;
  std::vector<std::pair<uint64_t, Content>> open_contents_;  // of open_: offset within payload_ until it is closed
  Reference unit_;                                           // place of the newest kUnit payload
};

}  // namespace dkfs::retain
