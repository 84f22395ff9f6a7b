// A record body.
#include "tests/fuzz/fuzz.h"
#include "tests/support/samples.h"

namespace {

using namespace dkfs;

std::string Encoded(const std::vector<Item>& items) {
  std::string out;
  for (const Item& item : items) EncodeItem(item, &out);
  return out;
}

void CheckPayload(Bytes body, const Item& item) {
  DKFS_CHECK(item.payload_offset + item.payload.size() <= body.size());
  DKFS_CHECK(item.payload.empty() || item.payload.data() == body.data() + item.payload_offset);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Bytes body = fuzz::Input(data, size);
  std::vector<Item> items;
  const Status status = DecodeItems(body, &items);
  DKFS_CHECK(status.ok() || status.IsCorruption() || status.code() == ENOTSUP);
  if (!status.ok()) return 0;
  for (const Item& item : items) CheckPayload(body, item);
  // What decoded encodes to a fixed point: reserved bytes, ignored flags and skipped items are gone after one round.
  const std::string once = Encoded(items);
  std::vector<Item> again;
  DKFS_CHECK(DecodeItems(AsBytes(once), &again).ok() && Encoded(again) == once);
  return 0;
}

std::vector<std::string> dkfs::fuzz::Seeds(test::Random* random) {
  std::vector<std::string> seeds;
  for (int i = 0; i < 16; ++i) seeds.push_back(test::AnyBody(random));
  return seeds;
}
