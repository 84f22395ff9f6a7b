// First byte: which value. Then the value.
#include "tests/fuzz/fuzz.h"
#include "tests/support/samples.h"

namespace {

using namespace dkfs;

template <class Value>
void Check(Bytes text) {
  Value value;
  const Status status = values::Decode(text, &value);
  DKFS_CHECK(status.ok() || status.IsCorruption());
  if (!status.ok()) return;
  const std::string once = values::Encode(value);
  Value again;
  DKFS_CHECK(once.size() == text.size());
  DKFS_CHECK(values::Decode(AsBytes(once), &again).ok() && values::Encode(again) == once);
}

void CheckInodeState(Bytes text) {
  InodeState state, again;
  const Status status = DecodeInodeState(text, &state);
  DKFS_CHECK(status.ok() || status.IsCorruption() || status.code() == ENOTSUP);
  if (!status.ok()) return;
  std::string once;
  EncodeInodeState(state, &once);
  DKFS_CHECK(DecodeInodeState(AsBytes(once), &again).ok() && again == state);
}

void CheckReference(Bytes text) {
  Reference reference;
  if (!DecodeReference(text, &reference).ok()) return;
  std::string once;
  EncodeReference(reference, &once);
  DKFS_CHECK(once == AsString(text));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const Bytes text = fuzz::Input(data + 1, size - 1);
  switch (data[0] % 9) {
    case 0:
      Check<BlockEntry>(text);
      break;
    case 1:
      Check<RangeItem>(text);
      break;
    case 2:
      Check<NameValue>(text);
      break;
    case 3:
      Check<EntryValue>(text);
      break;
    case 4:
      Check<MomentValue>(text);
      break;
    case 5:
      Check<SegmentValue>(text);
      break;
    case 6:
      Check<Fingerprint>(text);
      break;
    case 7:
      CheckInodeState(text);
      break;
    default:
      CheckReference(text);
      break;
  }
  return 0;
}

std::vector<std::string> dkfs::fuzz::Seeds(test::Random* random) {
  std::string inode, reference;
  EncodeInodeState(test::AnyInodeState(random), &inode);
  EncodeReference({4096, 8, 100, BlockKind::kUnit}, &reference);
  std::vector<std::string> seeds = {values::Encode(test::AnyBlockEntry(random)),
                                    values::Encode(RangeItem{test::AnyFile(random), LayoutId{1}, 5, kEndOfFile}),
                                    values::Encode(NameValue{test::AnyFile(random), kFirstEntry, 8}),
                                    values::Encode(EntryValue{test::AnyFile(random), 8, random->Name(255)}),
                                    values::Encode(MomentValue{test::AnyTime(random), SegmentId{1}, 4096}),
                                    values::Encode(SegmentValue{1, Seq{1}, Seq{9}, 8192}),
                                    values::Encode(Fingerprint{1, 2, test::AnyTime(random), test::AnyTime(random)}),
                                    inode,
                                    reference};
  for (size_t i = 0; i < seeds.size(); ++i) seeds[i].insert(0, 1, static_cast<char>(i));
  return seeds;
}
