// Two bytes: the size the block is said to have. Then the LZ4 block.
#include "store/codec/codec.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace dkfs;
  if (size < 2) return 0;
  std::string out(LoadLe<uint16_t>(data), '\0');
  const Status status = codec::DecompressFast(fuzz::Input(data + 2, size - 2), fuzz::Room(&out));
  DKFS_CHECK(status.ok() || status.IsCorruption());
  return 0;
}

std::vector<std::string> dkfs::fuzz::Seeds(test::Random* random) {
  std::vector<std::string> seeds;
  for (int i = 0; i < 8; ++i) {
    std::string text = random->Name(255) + random->Name(255);
    if (i % 2 != 0) text += text + std::string(random->Below(5000), 'x');
    std::string& seed = seeds.emplace_back();
    PutLe(&seed, static_cast<uint16_t>(text.size()));
    std::string block(text.size() + 64, '\0');
    block.resize(codec::CompressFast(AsBytes(text), fuzz::Room(&block)));
    seed += block;
  }
  return seeds;
}
