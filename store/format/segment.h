// Segment files: a 4096-byte header, then records one after another, each at a multiple of 8.
// A journal segment is preallocated and pre-zeroed; zeros where a record header should be end it. Sealed means cut to
// the end of its last record and synced: immutable from then on. A pack is written whole, synced, then published by
// rename.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "store/base/bytes.h"
#include "store/base/status.h"
#include "store/format/ids.h"

namespace dkfs {

inline constexpr size_t kSegmentHeaderBytes = 4096;
inline constexpr uint32_t kFormatVersion = 1;  // of the store; a newer one is refused with exit code 5
using Uuid = std::array<std::byte, 16>;

enum class SegmentKind : uint32_t { kJournal = 1, kPack = 2 };

struct SegmentHeader {
  uint32_t version = kFormatVersion;
  SegmentKind kind = SegmentKind::kJournal;
  Uuid store{};
  Uuid parent{};  // of a branch; zero for none
  SegmentId id;
  uint64_t epoch = 0;              // writer epoch: raised durably at each open for writing
  uint64_t salt = 0;               // random for each use
  Seq first_seq;                   // journal: of its first record, 0 in a prepared one; pack: the lowest as_of
  uint64_t required_features = 0;  // bits this code does not know: refuse
  // Pack only: the segments whose place it takes. Once the pack is published and indexed they are deleted.
  std::vector<SegmentId> sources;  // at most 400
  // Pack only: no record that it or its sources hold, or held before retention, names a higher one; 0: not said.
  FileId max_file;
  EntryId max_entry;
  uint64_t bytes = 0;  // pack only: of the whole file; 0: not said
  friend bool operator==(const SegmentHeader&, const SegmentHeader&) = default;
};

std::array<std::byte, kSegmentHeaderBytes> EncodeSegmentHeader(const SegmentHeader& header);
// Corruption for damage, ENOTSUP for a newer version or unknown required feature.
Status DecodeSegmentHeader(Bytes data, SegmentHeader* out);

// "0000000000000001.seg" / ".pack"; nullopt-like ENOENT when the name is not a segment's.
std::string SegmentName(SegmentId id, SegmentKind kind);
Status ParseSegmentName(std::string_view name, SegmentId* id, SegmentKind* kind);
std::string UuidText(const Uuid& uuid);

}  // namespace dkfs
