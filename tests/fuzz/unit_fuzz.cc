// The payload of a unit: a header, then a delta.
#include "store/replay/unit.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace dkfs;
  const Bytes payload = fuzz::Input(data, size);
  UnitHeader header;
  Bytes delta;
  const Status status = DecodeUnit(payload, &header, &delta);
  DKFS_CHECK(status.ok() || status.IsCorruption());
  if (!status.ok()) return 0;
  DKFS_CHECK(header.bytes > 0 && header.bytes <= kMaxUnitBytes && header.base_bytes <= kMaxUnitBytes);
  DKFS_CHECK(delta.size() == size - kUnitHeaderBytes);
  std::string once;
  EncodeUnitHeader(header, &once);
  DKFS_CHECK(once == AsString(payload.first(kUnitHeaderBytes)));
  return 0;
}

std::vector<std::string> dkfs::fuzz::Seeds(test::Random* random) {
  std::vector<std::string> seeds;
  for (int i = 0; i < 8; ++i) {
    UnitHeader header;
    header.base_file = FileId{random->Magnitude() % kMaxFileId + 1};
    header.base_layout = LayoutId{random->Below(1000) + 1};
    header.base_seq = Seq{random->Magnitude() + 1};
    header.base_first = random->Below(1 << 20) << header.base_shift;
    header.base_bytes = static_cast<uint32_t>(random->Below(kMaxUnitBytes + 1));
    header.first = random->Below(1 << 20) << kMinBlockShift;
    header.bytes = static_cast<uint32_t>(random->Below(kMaxUnitBytes) + 1);
    EncodeUnitHeader(header, &seeds.emplace_back());
    seeds.back() += random->Text(random->Below(60));
  }
  return seeds;
}
