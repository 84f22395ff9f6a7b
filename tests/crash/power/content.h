// Content: the bytes of one file, sparse; copies share their pages.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>

#include "store/base/bytes.h"
#include "store/base/status.h"

namespace dkfs::test {

inline constexpr uint64_t kPage = 4096;

class Content {
 public:
  uint64_t size = 0;

  // Does not change `size`. Empty data stands for `length` zeros.
  void Put(uint64_t offset, uint64_t length, Bytes data);
  void DropFrom(uint64_t offset);  // zeros from there on
  std::byte At(uint64_t offset) const;
  Status WriteTo(int fd) const;  // an empty file

 private:
  using Page = std::array<std::byte, kPage>;
  std::byte* Own(uint64_t page);
  std::map<uint64_t, std::shared_ptr<Page>> pages_;  // missing: zeros
};

}  // namespace dkfs::test
