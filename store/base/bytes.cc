#include "store/base/bytes.h"

#include <algorithm>

namespace dkfs {

// Zeros are equal to themselves shifted by a head that is known to be zero, so memcmp does the work.
bool IsAllZero(Bytes data) {
  const size_t head = std::min<size_t>(data.size(), 16);
  for (size_t i = 0; i < head; ++i) {
    if (data[i] != std::byte{0}) return false;
  }
  if (head == data.size()) return true;  // also keeps the null pointer of an empty span from memcmp
  return std::memcmp(data.data(), data.data() + head, data.size() - head) == 0;
}

}  // namespace dkfs
