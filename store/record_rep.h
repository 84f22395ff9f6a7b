// What a RecordBuilder holds: the encoded bytes, where payloads stand between them, and the items as the index wants
// them.
#pragma once

#include <sys/uio.h>

#include <string>
#include <vector>

#include "store/journal/journal.h"
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
  // The body as it is to be stored: compressed where that is allowed and pays. Its parts go to `parts_out` (kMaxParts
  // of them) and stay valid until the Rep is changed.
  Journal::Body Stored(struct iovec* parts_out);

  std::string encoded;
  std::vector<Part> parts;
  std::vector<Item> items;
  size_t bytes = 0;
  uint64_t request = 0;
  bool urgent = false;
  bool compressible = true;
  Shrunk shrunk = Shrunk::kUntried;

 private:
  // Bytes of the thread that appends, kept between records.
  struct Room {
    MutableBytes First(size_t n);
    std::unique_ptr<std::byte[]> data;
    size_t size = 0;
  };
  int Gather(struct iovec* out, uint64_t* checksum) const;
  Bytes DataOf(const Part& part) const;
  bool SampleShrinks();
  size_t Shrink();  // bytes in shrunk_room_; 0: it stays as it is

  Room whole_room_, shrunk_room_;
};

}  // namespace dkfs
