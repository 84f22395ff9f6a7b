// CompressGate: which of a file's writes are tried whether they compress. Content that does not is soon left alone:
// after each failure twice as many pass untried, at most 64. Not thread-safe.
#pragma once

#include <algorithm>
#include <cstdint>

namespace dkfs {

class CompressGate {
 public:
  bool Try() {
    if (skip_ == 0) return true;
    --skip_;
    return false;
  }
  void Note(bool smaller) {
    skip_ = smaller ? 0 : next_;
    next_ = smaller ? 1 : static_cast<uint8_t>(std::min(64, 2 * next_));
  }

 private:
  uint8_t skip_ = 0, next_ = 1;
};

}  // namespace dkfs
