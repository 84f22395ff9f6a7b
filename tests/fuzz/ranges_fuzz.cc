// Changed ranges for a block of 512 bytes.
#include "store/codec/codec.h"
#include "tests/fuzz/fuzz.h"

namespace {
constexpr size_t kBlock = 512;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace dkfs;
  const std::string before(kBlock, 'b');
  std::string block = before;
  const Status status = codec::PatchRanges(fuzz::Input(data, size), fuzz::Room(&block));
  DKFS_CHECK(status.ok() || status.IsCorruption());
  std::string ranges;
  std::string back = before;
  DKFS_CHECK(codec::DiffRanges(AsBytes(before), AsBytes(block), SIZE_MAX, &ranges));
  DKFS_CHECK(codec::PatchRanges(AsBytes(ranges), fuzz::Room(&back)).ok() && back == block);
  return 0;
}

std::vector<std::string> dkfs::fuzz::Seeds(test::Random* random) {
  std::vector<std::string> seeds;
  const std::string before(kBlock, 'b');
  for (int i = 0; i < 8; ++i) {
    std::string now = before;
    for (int run = 0; run < 3; ++run) random->Overwrite(&now, random->Below(kBlock - 40), random->Below(40) + 1);
    std::string& ranges = seeds.emplace_back();
    DKFS_CHECK(codec::DiffRanges(AsBytes(before), AsBytes(now), SIZE_MAX, &ranges));
  }
  return seeds;
}
