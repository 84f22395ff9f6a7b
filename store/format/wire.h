// Private to store/format: fixed-size fields written into a string in one growth, and checks that decoders share.
#pragma once

#include <cstring>
#include <string>

#include "store/base/bytes.h"
#include "store/base/clock.h"
#include "store/base/status.h"
#include "store/format/ids.h"

namespace dkfs::wire {

// Grows *out by exactly `bytes` and fills them front to back; the destructor checks in debug builds that it did.
class Writer {
 public:
  Writer(std::string* out, size_t bytes) {
    const size_t old = out->size();
    out->resize(old + bytes);
    at_ = out->data() + old;
    end_ = at_ + bytes;
  }
  ~Writer() {
#ifndef NDEBUG
    DKFS_CHECK(at_ == end_);
#endif
  }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  template <class T>
  void Le(T value) {
    std::memcpy(at_, &value, sizeof value);
    at_ += sizeof value;
  }
  template <class T>
  void Be(T value) {
    for (int shift = (sizeof(T) - 1) * 8; shift >= 0; shift -= 8) *at_++ = static_cast<char>(value >> shift);
  }
  void Text(std::string_view text) {
    if (!text.empty()) std::memcpy(at_, text.data(), text.size());
    at_ += text.size();
  }
  void Time(const TimeSpec& time) {
    Le<int64_t>(time.sec);
    Le<uint32_t>(time.nsec);
  }
  template <class Tag>
  void Id64(Id<Tag> id) {
    Le<uint64_t>(id.value);
  }
  void Layout(LayoutId layout) { Le<uint32_t>(static_cast<uint32_t>(layout.value)); }
  void Zero(size_t bytes) { at_ += bytes; }  // the growth zeroed them

 private:
  char* at_;
  char* end_;
};

inline TimeSpec ReadTime(ByteReader* in) {
  TimeSpec time;
  time.sec = in->Le<int64_t>();
  time.nsec = in->Le<uint32_t>();
  return time;
}
inline bool IsValid(const TimeSpec& time) { return time.nsec < 1'000'000'000; }
inline bool IsValid(FileId file) { return file && file.value <= kMaxFileId; }
inline bool IsValid(LayoutId layout) { return layout && layout.value <= UINT32_MAX; }
inline bool IsValidShift(uint8_t shift) { return shift >= kMinBlockShift && shift <= kMaxBlockShift; }
// Ended exactly at its end, with nothing missing.
inline bool IsWhole(const ByteReader& in) { return in.ok() && in.remaining() == 0; }

}  // namespace dkfs::wire
