// A whole segment file: scanned to its end, past every damage. First byte: whether the header is put in its place.
#include <fcntl.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "store/base/file.h"
#include "store/base/hash.h"
#include "store/journal/segment_scan.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/samples.h"

namespace {

using namespace dkfs;

struct Dir {
  Dir() {
    if (mkdtemp(path.data()) == nullptr) std::abort();
    Result<UniqueFd> opened = file::Open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY);
    DKFS_CHECK(opened.ok());
    fd = std::move(opened).value();
  }
  ~Dir() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  std::string path = "/tmp/dkfs-segment-fuzz-XXXXXX";
  UniqueFd fd;
};

SegmentHeader TheHeader() {
  SegmentHeader header;
  header.id = SegmentId{1};
  header.salt = 42;
  return header;
}

void Scan(int dirfd, const std::string& name, size_t size) {
  Result<SegmentScan> scan = SegmentScan::Open(dirfd, name);
  DKFS_CHECK(scan.ok() || scan.status().IsCorruption() || scan.code() == ENOTSUP);
  if (!scan.ok()) return;
  SegmentScan::Record record;
  for (uint64_t before = 0;;) {
    DKFS_CHECK(scan->offset() >= before && scan->offset() <= size);
    before = scan->offset();
    const Result<SegmentScan::Place> place = scan->Next(&record);
    DKFS_CHECK(place.ok() || place.code() == ENOTSUP);
    if (place.ok() && *place == SegmentScan::Place::kRecord) {
      DKFS_CHECK(scan->offset() > before && record.body.size() == record.header.stored_bytes);
      continue;
    }
    const Result<bool> more = scan->FindNext();
    DKFS_CHECK(more.ok());
    if (!*more) return;
    DKFS_CHECK(scan->offset() > before);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  static const Dir dir;
  std::string text(AsString(fuzz::Input(data + 1, size - 1)));
  if ((data[0] & 1) != 0) text.insert(0, AsString(EncodeSegmentHeader(TheHeader())));
  const std::string name = SegmentName(SegmentId{1}, SegmentKind::kJournal);
  std::ofstream(dir.path + "/" + name, std::ios::binary) << text;
  Scan(dir.fd.get(), name, text.size());
  return 0;
}

std::vector<std::string> dkfs::fuzz::Seeds(test::Random* random) {
  std::vector<std::string> seeds;
  for (int i = 0; i < 6; ++i) {
    std::string& text = seeds.emplace_back("\1");
    for (uint64_t seq = 1; seq < 5; ++seq) {
      const std::string body = test::AnyBody(random);
      RecordHeader header = test::AnyRecordHeader(random);
      header.flags = 0;
      header.seq = Seq{seq};
      header.stored_bytes = header.body_bytes = static_cast<uint32_t>(body.size());
      header.length = static_cast<uint32_t>(RoundUp(kRecordHeaderBytes + body.size(), 8));
      header.body_checksum = Hash64(AsBytes(body));
      text += AsString(EncodeRecordHeader(header, TheHeader().salt));
      text += body + std::string(header.length - kRecordHeaderBytes - body.size(), '\0');
    }
    text += std::string(200, '\0');
  }
  return seeds;
}
