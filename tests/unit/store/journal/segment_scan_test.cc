#include "store/journal/segment_scan.h"

#include <fcntl.h>

#include <algorithm>
#include <fstream>

#include "tests/support/temp_dir.h"
#include "tests/unit/store/journal/rig.h"

namespace dkfs {
namespace {

using namespace journal_testing;
using Place = SegmentScan::Place;

// One sealed segment with ten records.
struct SegmentScanTest : testing::Test {
  SegmentScanTest() : rig(FreshDir(testing::UnitTest::GetInstance()->current_test_info()->name())) {
    EXPECT_TRUE(rig.Open().ok());
    for (int i = 0; i < 10; ++i) EXPECT_TRUE(rig.Append(std::string(100 * i + 3, 's')).ok());
    EXPECT_TRUE(rig.journal->Seal().ok());
    name = SegmentName(rig.model[0].at.segment, SegmentKind::kJournal);
    rig.journal.reset();
  }
  SegmentScan Scan() {
    dir = UniqueFd(::open(rig.path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    return SegmentScan::Open(dir.get(), name).value();
  }
  void Flip(uint64_t offset) {
    std::fstream f(rig.path + "/" + name, std::ios::in | std::ios::out | std::ios::binary);
    f.seekg(static_cast<long>(offset));
    const int c = f.get();
    f.seekp(static_cast<long>(offset));
    f.put(static_cast<char>(c ^ 4));
  }
  Rig rig;
  UniqueFd dir;
  std::string name;
};

TEST_F(SegmentScanTest, GivesEveryRecordAndEndsAtTheEndOfTheFile) {
  SegmentScan scan = Scan();
  SegmentScan::Record record;
  for (const Written& w : rig.model) {
    ASSERT_EQ(scan.Next(&record).value(), Place::kRecord);
    EXPECT_EQ(record.header.seq, w.at.seq);
    EXPECT_EQ(record.offset, w.at.offset);
    EXPECT_EQ(AsString(record.body), w.body);
  }
  ASSERT_EQ(scan.Next(&record).value(), Place::kEnd);
  EXPECT_TRUE(scan.AtEof());
}

// A pack is published whole, so neither zeros nor a record border end it early; and that is told once.
TEST_F(SegmentScanTest, APackThatEndsEarlyIsDamaged) {
  std::string content = test::ContentOf(rig.path + "/" + name);
  const uint64_t border = rig.model[7].at.offset;
  const auto scan_pack = [&](const std::string& records, uint64_t told_bytes) {
    SegmentHeader header;
    EXPECT_TRUE(DecodeSegmentHeader(AsBytes(content), &header).ok());
    header.kind = SegmentKind::kPack;
    header.bytes = told_bytes;
    const std::string pack = SegmentName(header.id, SegmentKind::kPack);
    test::PutFile(rig.path + "/" + pack, std::string(AsString(Bytes(EncodeSegmentHeader(header)))) + records);
    dir = UniqueFd(::open(rig.path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    SegmentScan scan = SegmentScan::Open(dir.get(), pack).value();
    int damages = 0;
    SegmentScan::Record record;
    for (Place place = Place::kRecord; place != Place::kEnd;) {
      place = scan.Next(&record).value();
      damages += place == Place::kDamage ? 1 : 0;
      if (place == Place::kDamage && !scan.FindNext().value()) scan.Seek(scan.size());
    }
    return damages;
  };
  const std::string whole = content.substr(kSegmentHeaderBytes);
  const std::string cut = content.substr(kSegmentHeaderBytes, border - kSegmentHeaderBytes);
  EXPECT_EQ(scan_pack(whole, content.size()), 0);
  EXPECT_EQ(scan_pack(whole, 0), 0);
  EXPECT_EQ(scan_pack(cut, content.size()), 1);
  EXPECT_EQ(scan_pack(cut, 0), 0) << "an old pack does not say how large it is";
  EXPECT_EQ(scan_pack(cut + std::string(content.size() - border, '\0'), content.size()), 1);
  EXPECT_EQ(scan_pack(cut + std::string(content.size() - border, '\0'), 0), 1);
  EXPECT_EQ(scan_pack(whole + std::string(4096, '\0'), content.size()), 0) << "behind its end";
}

TEST_F(SegmentScanTest, GoesOnBehindADamagedHeader) {
  Flip(rig.model[4].at.offset + 20);
  SegmentScan scan = Scan();
  SegmentScan::Record record;
  for (int i = 0; i < 4; ++i) ASSERT_EQ(scan.Next(&record).value(), Place::kRecord);
  ASSERT_EQ(scan.Next(&record).value(), Place::kDamage);
  EXPECT_EQ(record.header.seq, Seq(0));
  EXPECT_NE(scan.damage().find(name + " at offset " + std::to_string(rig.model[4].at.offset)), std::string::npos);
  ASSERT_TRUE(scan.FindNext().value());
  ASSERT_EQ(scan.Next(&record).value(), Place::kRecord);
  EXPECT_EQ(record.header.seq, Seq(6));
}

TEST_F(SegmentScanTest, NamesTheRecordWhoseBodyIsDamaged) {
  Flip(rig.model[4].at.offset + kRecordHeaderBytes + 7);
  SegmentScan scan = Scan();
  SegmentScan::Record record;
  for (int i = 0; i < 4; ++i) ASSERT_EQ(scan.Next(&record).value(), Place::kRecord);
  ASSERT_EQ(scan.Next(&record).value(), Place::kDamage);
  EXPECT_EQ(record.header.seq, Seq(5));
  EXPECT_EQ(scan.offset(), rig.model[4].at.offset);
}

TEST_F(SegmentScanTest, AFileCutShortIsDamageUnlessCutBetweenRecords) {
  const std::string path = rig.path + "/" + name;
  for (uint64_t size = fs::file_size(path) - 1; size > kSegmentHeaderBytes; size -= 37) {
    fs::resize_file(path, size);
    SegmentScan scan = Scan();
    SegmentScan::Record record;
    Place place = Place::kRecord;
    while (place == Place::kRecord) place = scan.Next(&record).value();
    const bool between =
        std::any_of(rig.model.begin(), rig.model.end(), [&](const Written& w) { return w.at.offset == size; });
    EXPECT_EQ(place, between ? Place::kEnd : Place::kDamage) << size;
    EXPECT_FALSE(scan.FindNext().value());
    if (size < 37) break;
  }
}

TEST_F(SegmentScanTest, ADamagedSegmentHeaderIsCorruption) {
  Flip(9);
  dir = UniqueFd(::open(rig.path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  EXPECT_TRUE(SegmentScan::Open(dir.get(), name).status().IsCorruption());
}

}  // namespace
}  // namespace dkfs
