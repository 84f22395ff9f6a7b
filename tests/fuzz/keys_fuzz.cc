// First byte: which key. Then the key.
#include "tests/fuzz/fuzz.h"
#include "tests/support/samples.h"

namespace {

using namespace dkfs;

std::string Make(const keys::BlockKey& k) { return keys::Block(k.file, k.layout, k.block, k.seq); }
std::string Make(const keys::RangeKey& k) { return keys::Range(k.file, k.seq, k.n); }
std::string Make(const keys::InodeKey& k) { return keys::Inode(k.file, k.seq); }
std::string Make(const keys::NameKey& k) { return keys::Name(k.parent, k.name, k.seq); }
std::string Make(const keys::EntryKey& k) { return keys::Entry(k.parent, k.entry, k.seq); }
std::string Make(const keys::LinkKey& k) { return keys::Link(k.child, k.parent, k.entry, k.seq); }
std::string Make(const keys::XattrKey& k) { return keys::Xattr(k.file, k.name, k.seq); }

template <class Key>
void Check(Bytes text) {
  Key key;
  const Status status = keys::Parse(text, &key);
  DKFS_CHECK(status.ok() ? Make(key) == AsString(text) : status.IsCorruption());
}

void CheckNumbers(Bytes text) {
  Seq seq;
  if (keys::ParseMoment(text, &seq).ok()) DKFS_CHECK(keys::Moment(seq) == AsString(text));
  SegmentId id;
  if (keys::ParseSegment(text, &id).ok()) DKFS_CHECK(keys::Segment(id) == AsString(text));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const Bytes text = fuzz::Input(data + 1, size - 1);
  switch (data[0] % 8) {
    case 0:
      Check<keys::BlockKey>(text);
      break;
    case 1:
      Check<keys::RangeKey>(text);
      break;
    case 2:
      Check<keys::InodeKey>(text);
      break;
    case 3:
      Check<keys::NameKey>(text);
      break;
    case 4:
      Check<keys::EntryKey>(text);
      break;
    case 5:
      Check<keys::LinkKey>(text);
      break;
    case 6:
      Check<keys::XattrKey>(text);
      break;
    default:
      CheckNumbers(text);
      break;
  }
  return 0;
}

std::vector<std::string> dkfs::fuzz::Seeds(test::Random* random) {
  const FileId file = test::AnyFile(random);
  const Seq seq{random->Magnitude()};
  const EntryId entry{random->Magnitude()};
  std::vector<std::string> seeds = {keys::Block(file, LayoutId{1}, random->Magnitude(), seq),
                                    keys::Range(file, seq, 1),
                                    keys::Inode(file, seq),
                                    keys::Name(file, random->Name(255), seq),
                                    keys::Entry(file, entry, seq),
                                    keys::Link(file, kRootFile, entry, seq),
                                    keys::Xattr(file, random->Name(20), seq),
                                    keys::Moment(seq)};
  for (size_t i = 0; i < seeds.size(); ++i) seeds[i].insert(0, 1, static_cast<char>(i));
  return seeds;
}
