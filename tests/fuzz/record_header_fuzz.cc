// First byte: whether the checksum is made to match, so that damage gets past it. Then the header.
#include <cstring>

#include "store/base/hash.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/samples.h"

namespace {
constexpr uint64_t kSalt = 42;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace dkfs;
  if (size == 0) return 0;
  std::string text(AsString(fuzz::Input(data + 1, size - 1)));
  if ((data[0] & 1) != 0 && text.size() >= kRecordHeaderBytes) {
    const uint64_t checksum = Hash64(AsBytes(text).first(kRecordHeaderBytes - 8), kSalt);
    std::memcpy(text.data() + kRecordHeaderBytes - 8, &checksum, sizeof checksum);
  }
  RecordHeader header;
  const Status status = DecodeRecordHeader(AsBytes(text), kSalt, &header);
  DKFS_CHECK(status.ok() || status.IsCorruption() || status.code() == ENOTSUP);
  if (!status.ok()) return 0;
  DKFS_CHECK(header.length <= kMaxRecordBytes && header.body_bytes <= kMaxRecordBytes);
  DKFS_CHECK(header.length >= kRecordHeaderBytes + header.stored_bytes && header.length % 8 == 0);
  RecordHeader again;
  DKFS_CHECK(DecodeRecordHeader(EncodeRecordHeader(header, kSalt), kSalt, &again).ok() && again == header);
  return 0;
}

std::vector<std::string> dkfs::fuzz::Seeds(test::Random* random) {
  std::vector<std::string> seeds;
  for (int i = 0; i < 8; ++i) {
    seeds.push_back("\1");
    seeds.back() += AsString(EncodeRecordHeader(test::AnyRecordHeader(random), kSalt));
  }
  return seeds;
}
