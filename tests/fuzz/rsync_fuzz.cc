// Two bytes: the size the result is said to have. Then the delta against a fixed base.
#include "store/codec/codec.h"
#include "tests/fuzz/fuzz.h"

namespace {

const std::string& Base() {
  static const std::string base = dkfs::test::Random(7).Text(1000);
  return base;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace dkfs;
  if (size < 2) return 0;
  std::string out(LoadLe<uint16_t>(data), '\0');
  const Status status = codec::RsyncPatch(AsBytes(Base()), fuzz::Input(data + 2, size - 2), fuzz::Room(&out));
  DKFS_CHECK(status.ok() || status.IsCorruption());
  return 0;
}

std::vector<std::string> dkfs::fuzz::Seeds(test::Random* random) {
  std::vector<std::string> seeds;
  for (int i = 0; i < 8; ++i) {
    const std::string now = random->Name(50) + Base().substr(random->Below(500)) + Mutate(random, Base());
    std::string& seed = seeds.emplace_back();
    PutLe(&seed, static_cast<uint16_t>(now.size()));
    DKFS_CHECK(codec::RsyncDelta(AsBytes(Base()), AsBytes(now), &seed).ok());
  }
  return seeds;
}
