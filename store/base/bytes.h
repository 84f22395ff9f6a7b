// Byte spans and fixed-width encodings: values are little-endian, index keys big-endian (docs/format.md).
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

namespace dkfs {

using Bytes = std::span<const std::byte>;
using MutableBytes = std::span<std::byte>;

static_assert(std::endian::native == std::endian::little, "dkfs is built for little-endian machines");

inline Bytes AsBytes(std::string_view s) { return {reinterpret_cast<const std::byte*>(s.data()), s.size()}; }
inline std::string_view AsString(Bytes b) { return {reinterpret_cast<const char*>(b.data()), b.size()}; }

template <class T>
void PutLe(std::string* out, T value) {
  out->append(reinterpret_cast<const char*>(&value), sizeof value);
}
template <class T>
void PutBe(std::string* out, T value) {
  for (int shift = (sizeof(T) - 1) * 8; shift >= 0; shift -= 8) {
    out->push_back(static_cast<char>(static_cast<uint8_t>(value >> shift)));
  }
}
template <class T>
T LoadLe(const void* p) {
  T value;
  std::memcpy(&value, p, sizeof value);
  return value;
}
template <class T>
T LoadBe(const void* p) {
  T value = 0;
  for (size_t i = 0; i < sizeof(T); ++i) value = static_cast<T>((value << 8) | static_cast<const uint8_t*>(p)[i]);
  return value;
}

// Takes fields off the front of a span; any read past the end turns it bad for good, and reads give zero.
class ByteReader {
 public:
  explicit ByteReader(Bytes data) : data_(data) {}
  template <class T>
  T Le() {
    Bytes b = Take(sizeof(T));
    return ok_ ? LoadLe<T>(b.data()) : T{};
  }
  template <class T>
  T Be() {
    Bytes b = Take(sizeof(T));
    return ok_ ? LoadBe<T>(b.data()) : T{};
  }
  Bytes Take(size_t n) {
    if (n > data_.size()) {
      ok_ = false;
      data_ = {};
      return {};
    }
    Bytes front = data_.first(n);
    data_ = data_.subspan(n);
    return front;
  }
  bool ok() const { return ok_; }
  size_t remaining() const { return data_.size(); }

 private:
  Bytes data_;
  bool ok_ = true;
};

constexpr uint64_t RoundUp(uint64_t n, uint64_t unit) { return (n + unit - 1) / unit * unit; }
constexpr uint64_t RoundDown(uint64_t n, uint64_t unit) { return n / unit * unit; }
bool IsAllZero(Bytes data);

}  // namespace dkfs
