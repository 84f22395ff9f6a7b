// A unit: up to 1 MiB of consecutive blocks of a file that took another's name, as one librsync delta against a region
// of the file it replaced. Every block of the unit has the same payload (kUnit, same Location and stored_bytes): a
// header, then the delta. docs/format.md has the byte table.
//
//   0  u64 base file      8  u32 base layout   12 u8 base block shift   13 3 zero bytes   16 u64 base Seq
//   24 u64 first byte of the base region       32 u64 first byte of the unit in this file
//   40 u32 bytes of the base region            44 u32 bytes of the unit                   48 delta
#pragma once

#include <string>

#include "store/base/bytes.h"
#include "store/base/status.h"
#include "store/format/ids.h"

namespace dkfs {

inline constexpr size_t kUnitHeaderBytes = 48;
inline constexpr uint32_t kMaxUnitBytes = 1 << 20;
inline constexpr int kMaxUnitDepth = 4;  // a unit's base may itself lie in units, so deep at most

struct UnitHeader {
  FileId base_file;
  LayoutId base_layout;
  uint8_t base_shift = kDefaultBlockShift;
  Seq base_seq;             // the base region is read as of this Seq
  uint64_t base_first = 0;  // a multiple of the base's block size
  uint32_t base_bytes = 0;  // 0..kMaxUnitBytes; the region may end inside a block
  uint64_t first = 0;       // a multiple of this file's block size
  uint32_t bytes = 0;       // 1..kMaxUnitBytes; the last block may be short: zeros follow
  friend bool operator==(const UnitHeader&, const UnitHeader&) = default;
};

// Appends exactly kUnitHeaderBytes; the delta (codec::RsyncDelta of base and unit) follows.
void EncodeUnitHeader(const UnitHeader& header, std::string* out);
// Any bytes are accepted; Corruption unless the header is whole and its fields are in range. `delta` borrows from
// `payload`.
Status DecodeUnit(Bytes payload, UnitHeader* header, Bytes* delta);

}  // namespace dkfs
