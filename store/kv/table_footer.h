// The end of one of RocksDB's tables, which no checksum covers although everything is found through it. RocksDB asserts
// about what it reads there, and a checksum type of "none" would let every other damage of the table pass (G6). So the
// footer is compared with the only ones that options.cc lets RocksDB write:
//
//   byte 0     checksum type       kTableChecksum
//   1 .. 40    metaindex and index: offset and size each, as varints, and zeros. The metaindex ends at the footer, the
//              index before the metaindex begins; a block is followed by 5 bytes (compression, checksum)
//   41 .. 44   format version      kTableFormat, little-endian
//   45 .. 52   magic number, little-endian
#pragma once

#include "store/base/bytes.h"

namespace dkfs {

inline constexpr uint8_t kTableChecksum = 4;  // rocksdb::kXXH3
inline constexpr uint32_t kTableFormat = 5;   // read and written alike by RocksDB 7 and 9
inline constexpr size_t kTableFooterBytes = 53;

// `footer`: the last kTableFooterBytes of a table of `table_bytes`.
bool IsTableFooter(Bytes footer, uint64_t table_bytes);

}  // namespace dkfs
