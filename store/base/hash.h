// The one checksum of dkfs: XXH3, 64 bits (xxHash library). `seed` separates uses: a record header is hashed with
// its segment's salt, so bytes of another segment's life, or a user's bytes, never pass for a record.
#pragma once

#include <cstdint>

#include "store/base/bytes.h"

namespace dkfs {

uint64_t Hash64(Bytes data, uint64_t seed = 0);
// Hash of data followed by zeros up to total_size, as a block's checksum is defined (short tail blocks are zero
// padded). REQUIRES: data.size() <= total_size <= 1 MiB.
uint64_t HashZeroPadded(Bytes data, size_t total_size);

// Hash of several parts as if they were one buffer.
class Hasher {
 public:
  explicit Hasher(uint64_t seed = 0);
  ~Hasher();
  Hasher(const Hasher&) = delete;
  Hasher& operator=(const Hasher&) = delete;
  void Update(Bytes part);
  uint64_t Finish() const;

 private:
  alignas(64) unsigned char state_[576];
};

}  // namespace dkfs
