// Two bytes: the size the block is said to have. Then the LZ4 block.
#include "store/codec/codec.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  dkfs::fuzz::DecodeSized(data, size, dkfs::codec::DecompressFast);
  return 0;
}

std::vector<std::string> dkfs::fuzz::Seeds(test::Random* random) {
  return SizedSeeds(random, [](int, const std::string& text, std::string* seed) {
    std::string block(text.size() + 64, '\0');
    block.resize(codec::CompressFast(AsBytes(text), Room(&block)));
    *seed += block;
  });
}
