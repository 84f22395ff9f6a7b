// BufferPool: buffers of one size, handed out uncleared, that come back when their last holder lets go; so memory that
// travels from one thread to another is not mapped anew each time. Thread-safe; buffers may outlive the pool.
#pragma once

#include <memory>

#include "store/base/bytes.h"

namespace dkfs {

class BufferPool {
 public:
  using Buffer = std::shared_ptr<std::byte[]>;
  // At most `keep` unused buffers of `bytes` are kept.
  BufferPool(size_t bytes, size_t keep);
  // At least `bytes`; more than the pool's size is allocated for this once.
  Buffer Take(size_t bytes);

 private:
  struct Shelf;
  const size_t bytes_;
  const std::shared_ptr<Shelf> shelf_;
};

}  // namespace dkfs
