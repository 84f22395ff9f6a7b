// Two bytes: the size the frame is said to have. Then the frame.
#include "store/codec/codec.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  dkfs::fuzz::DecodeSized(data, size, dkfs::codec::Decompress);
  return 0;
}

std::vector<std::string> dkfs::fuzz::Seeds(test::Random* random) {
  return SizedSeeds(random, [](int i, const std::string& text, std::string* seed) {
    DKFS_CHECK(codec::Compress(AsBytes(text), 1 + i, seed).ok());
  });
}
