// Codecs: bytes to bytes, pure. The only user of zstd, LZ4 and librsync. Encoders append to *out; on an error it is as
// it was. Thread-safety: all functions are pure; contexts they need are kept per thread. Decoders take any bytes and
// answer Corruption; none writes past `out` or allocates by an unchecked length.
#pragma once

#include <string>

#include "store/base/bytes.h"
#include "store/base/status.h"

namespace dkfs::codec {

// Changed ranges ("delta"): the runs in which `now` differs from `before`, as { u32 offset, u32 length, bytes }...
// REQUIRES: both have the same size, at most 1 MiB. Runs closer than 16 bytes are joined.
// Returns false, leaving *out as it was, when the result would exceed `limit` bytes.
bool DiffRanges(Bytes before, Bytes now, size_t limit, std::string* out);
// Applies ranges to `block` in place. Corruption unless they ascend, do not overlap and lie inside; `block` may then
// have taken some of them.
Status PatchRanges(Bytes ranges, MutableBytes block);

// zstd, one frame with its content size and without a checksum (blocks carry their own). level 1..19.
Status Compress(Bytes in, int level, std::string* out);
// The same kind of frame; what came up to 8 MiB before is found as well (zstd's long distance matching).
Status CompressLong(Bytes in, int level, std::string* out);
// REQUIRES: out has exactly the decompressed size; anything else is Corruption.
Status Decompress(Bytes in, MutableBytes out);

// LZ4, one block: for the write path, several times faster than zstd. The bytes written to `out`; 0 when the result
// does not fit there, and `out` may have changed. REQUIRES: in.size() is at most 8 MiB.
size_t CompressFast(Bytes in, MutableBytes out);
// REQUIRES: as Decompress.
Status DecompressFast(Bytes in, MutableBytes out);

// librsync: describes `now` in terms of `base`. Block length fits the region (at most 1 MiB each).
Status RsyncDelta(Bytes base, Bytes now, std::string* out);
// Result must be exactly out.size() bytes; anything else is Corruption.
Status RsyncPatch(Bytes base, Bytes delta, MutableBytes out);

}  // namespace dkfs::codec
