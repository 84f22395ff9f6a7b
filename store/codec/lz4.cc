#include <lz4.h>

#include "store/codec/codec.h"

namespace dkfs::codec {
namespace {

const char* Chars(Bytes bytes) { return reinterpret_cast<const char*>(bytes.data()); }
char* Chars(MutableBytes bytes) { return reinterpret_cast<char*>(bytes.data()); }

}  // namespace

size_t CompressFast(Bytes in, MutableBytes out) {
  constexpr int kAcceleration = 1;
  const int n = LZ4_compress_fast(Chars(in), Chars(out), static_cast<int>(in.size()), static_cast<int>(out.size()),
                                  kAcceleration);
  return n > 0 ? static_cast<size_t>(n) : 0;
}

Status DecompressFast(Bytes in, MutableBytes out) {
  const int n = LZ4_decompress_safe(Chars(in), Chars(out), static_cast<int>(in.size()), static_cast<int>(out.size()));
  if (n >= 0 && static_cast<size_t>(n) == out.size()) return Status::Ok();
  return Status::Corruption("compressed data that is not of its stated size");
}

}  // namespace dkfs::codec
