// The end of one of RocksDB's tables: what RocksDB reads of it without a checksum, or before it looks at one. It
// asserts about what it finds there, and a checksum type of "none" would let every other damage of the table pass (G6).
// So all of it is checked before RocksDB sees the table; behind it every block is covered by its checksum.
//
//   properties   read by RocksDB before its checksum; ends where the metaindex begins
//   metaindex    names the properties; ends where the footer begins
//   footer       53 bytes, no checksum; only one that options.cc lets RocksDB write is taken:
//     0            checksum type       kTableChecksum
//     1 .. 40      metaindex and index: offset and size each, as varints, and zeros
//     41 .. 44     format version      kTableFormat, little-endian
//     45 .. 52     magic number, little-endian
//
// Each block is followed by one byte (compression) and u32: the lower half of its XXH3, xor that byte times a prime.
#pragma once

#include <functional>
#include <string>

#include "store/base/status.h"

namespace dkfs {

inline constexpr uint8_t kTableChecksum = 4;  // rocksdb::kXXH3
inline constexpr uint32_t kTableFormat = 5;   // read and written alike by RocksDB 7 and 9
inline constexpr size_t kTableFooterBytes = 53;

// Corruption for a table of `table_bytes` that is damaged there. `read` gives exactly so many bytes at an offset.
Status CheckTableEnd(uint64_t table_bytes, const std::function<Result<std::string>(uint64_t, size_t)>& read);

}  // namespace dkfs
