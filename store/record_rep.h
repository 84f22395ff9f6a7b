// What a RecordBuilder holds: the encoded bytes, where payloads stand between them, and the items as the index wants
// them.
#pragma once

#include <sys/uio.h>

#include <string>
#include <vector>

#include "store/store.h"

namespace dkfs {

struct RecordBuilder::Rep {
  // The journal takes 62 parts; more payloads than that are copied.
  static constexpr size_t kMaxParts = 60;

  // A piece of the body: payload memory of the caller, or, with payload null, `encoded` from `at` on.
  struct Part {
    const std::byte* payload;
    size_t at;
    size_t bytes;
  };

  void Add(Item item);
  void Keep(Item item);  // for the index
  void AddPayload(Bytes payload);
  void AddEncoded(size_t from);  // what was appended to `encoded` since it was `from` long
  // Fills `out` (kMaxParts of them) with the body; the number used. `checksum` receives Hash64 over all of it.
  int Gather(struct iovec* out, uint64_t* checksum) const;

  std::string encoded;
  std::vector<Part> parts;
  std::vector<Item> items;
  size_t bytes = 0;
  uint64_t request = 0;
  bool urgent = false;
};

}  // namespace dkfs
