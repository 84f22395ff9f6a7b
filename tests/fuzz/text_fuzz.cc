// First byte: which text. Then the text: a moment as people write it, a segment's name, FORMAT, the clean mark, the
// list of hot extents.
#include <fcntl.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "store/format/hot_extents.h"
#include "store/format/segment.h"
#include "store/moments.h"
#include "store/store_dir.h"
#include "tests/fuzz/fuzz.h"

namespace {

using namespace dkfs;

constexpr int kWays = 5;

// A store's directory of this process, left to the system's cleaning of temporary files if it dies.
struct Dir {
  Dir() {
    if (mkdtemp(path.data()) == nullptr) std::abort();
    (void)StoreDir::Open(path, StoreDir::Access::kWrite, true, TimeSpec{1, 2});
  }
  ~Dir() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  void Put(const std::string& name, Bytes text) const {
    std::ofstream(path + "/" + name, std::ios::binary) << AsString(text);
  }
  std::string path = "/tmp/dkfs-text-fuzz-XXXXXX";
};
const Dir& TheDir() {
  static const Dir dir;
  return dir;
}

void Moment(Bytes text) {
  const Result<MomentText> moment = ParseMomentText(AsString(text));
  DKFS_CHECK(moment.ok() || moment.code() == EINVAL);
}

void Name(Bytes text) {
  SegmentId id;
  SegmentKind kind;
  if (ParseSegmentName(AsString(text), &id, &kind).ok()) DKFS_CHECK(SegmentName(id, kind) == AsString(text));
}

void Format(Bytes text) {
  TheDir().Put("FORMAT", text);
  const Result<StoreDir> dir = StoreDir::Open(TheDir().path, StoreDir::Access::kRead, false, TimeSpec{});
  DKFS_CHECK(dir.ok() || dir.status().IsCorruption() || dir.code() == ENOTSUP);
}

void Clean(Bytes text) {
  TheDir().Put("FORMAT", AsBytes("dkfs store\nversion 1\nuuid 01234567-0123-0123-0123-0123456789ab\n"));
  TheDir().Put("clean", text);
  const Result<StoreDir> dir = StoreDir::Open(TheDir().path, StoreDir::Access::kRead, false, TimeSpec{});
  DKFS_CHECK(dir.ok());
  const auto mark = dir->ReadCleanMark();
  DKFS_CHECK(!mark || !mark->identity.empty());
}

void Hot(Bytes text) {
  const auto extents = DecodeHotExtents(AsString(text));
  DKFS_CHECK(extents.ok() || extents.status().IsCorruption() || extents.code() == ENOTSUP);
  if (!extents.ok()) return;
  DKFS_CHECK(extents->size() <= kMaxHotExtents);
  const auto again = DecodeHotExtents(EncodeHotExtents(*extents));
  DKFS_CHECK(again.ok() && *again == *extents);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  static constexpr void (*kTry[kWays])(Bytes) = {Moment, Name, Format, Clean, Hot};
  kTry[data[0] % kWays](fuzz::Input(data + 1, size - 1));
  return 0;
}

std::vector<std::string> dkfs::fuzz::Seeds(test::Random* random) {
  std::vector<std::string> seeds;
  for (const char* text : {"seq:17", "latest", "@1700000000.5", "2026-01-31T14:03:07.25Z", "2026-01-31 14:03:07"}) {
    seeds.push_back(std::string(1, '\0') + text);
  }
  seeds.push_back("\1" + SegmentName(SegmentId{random->Magnitude() + 1}, SegmentKind::kPack));
  seeds.push_back("\2dkfs store\nversion 1\nuuid 01234567-0123-0123-0123-0123456789ab\ncreated 2026-01-02T03:04:05Z\n");
  seeds.push_back("\3seq 12\nidentity 1:2:3\n");
  seeds.push_back("\4" + EncodeHotExtents({{FileId{random->Magnitude()}, 7, random->Magnitude()}, {FileId{2}, 0, 1}}));
  return seeds;
}
