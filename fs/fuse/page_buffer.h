// PageBuffer: page-aligned memory that grows to the largest size asked for and is kept. Not thread-safe.
#pragma once

#include <cstdlib>
#include <memory>
#include <new>

#include "store/base/bytes.h"

namespace dkfs {

class PageBuffer {
 public:
  static constexpr size_t kPage = 4096;

  // Content is undefined. Valid until the next Get.
  MutableBytes Get(size_t bytes) {
    if (bytes > capacity_) {
      capacity_ = RoundUp(bytes, kPage);
      memory_.reset(static_cast<std::byte*>(std::aligned_alloc(kPage, capacity_)));
      if (memory_ == nullptr) {
        capacity_ = 0;
        throw std::bad_alloc();  // ends in Serve() as operator new's would
      }
    }
    return {memory_.get(), bytes};
  }

 private:
  struct Free {
    void operator()(std::byte* p) const { std::free(p); }
  };
  std::unique_ptr<std::byte, Free> memory_;
  size_t capacity_ = 0;
};

}  // namespace dkfs
