// First byte: whether the checksum is made to match, so that damage gets past it. Then the header, as far as given; the
// rest of the 4096 bytes is zero.
#include <cstring>

#include "store/base/hash.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/samples.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace dkfs;
  if (size == 0) return 0;
  std::string text(AsString(fuzz::Input(data + 1, size - 1)));
  if ((data[0] & 1) != 0) {
    text.resize(kSegmentHeaderBytes, '\0');
    const uint64_t checksum = Hash64(AsBytes(text).first(kSegmentHeaderBytes - 8));
    std::memcpy(text.data() + kSegmentHeaderBytes - 8, &checksum, sizeof checksum);
  }
  SegmentHeader header;
  const Status status = DecodeSegmentHeader(AsBytes(text), &header);
  DKFS_CHECK(status.ok() || status.IsCorruption() || status.code() == ENOTSUP);
  if (!status.ok()) return 0;
  SegmentHeader again;
  DKFS_CHECK(DecodeSegmentHeader(EncodeSegmentHeader(header), &again).ok() && again == header);
  return 0;
}

std::vector<std::string> dkfs::fuzz::Seeds(test::Random* random) {
  std::vector<std::string> seeds;
  for (int i = 0; i < 8; ++i) {
    const SegmentHeader header = test::AnySegmentHeader(random);
    seeds.push_back("\1");
    seeds.back() += AsString(EncodeSegmentHeader(header)).substr(0, 104 + header.sources.size() * 8);
  }
  return seeds;
}
