// The body of a record out of what is stored of it.
#pragma once

#include <vector>

#include "store/base/bytes.h"
#include "store/base/status.h"
#include "store/format/record.h"

namespace dkfs::codec {

// Decompresses a stored body. REQUIRES: header.compressed(), `stored` has been checked (CheckRecordBody), and `out` has
// header.body_bytes. Corruption when it does not decompress to exactly that.
Status ExpandBody(const RecordHeader& header, Bytes stored, MutableBytes out);
// The body: `stored` itself, or decompressed into `buffer`, which is enlarged as needed.
Result<Bytes> RecordBody(const RecordHeader& header, Bytes stored, std::vector<std::byte>* buffer);

}  // namespace dkfs::codec
