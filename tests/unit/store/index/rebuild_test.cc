// An index filled from packs and segments, in an order that is not the order of Seqs.
#include "tests/unit/store/index/rig.h"

namespace dkfs {
namespace {

constexpr FileId kFile{7};
constexpr FileId kDir{3};
constexpr LayoutId kLayout{1};

void EnqueueFrame(Rig* rig, uint64_t pack, uint32_t offset, const std::vector<Item>& items,
                  const std::vector<std::string>& payloads = {}) {
  const std::string body = Rig::Encode(items, payloads);
  Appended at;
  at.segment = SegmentId{pack};
  at.offset = offset;
  at.kind = SegmentKind::kPack;
  std::vector<Item> decoded;
  Status s = DecodeItems(AsBytes(body), &decoded);
  ASSERT_TRUE(s.ok()) << s.ToString();
  for (const Item& item : decoded) at.seq = std::max(at.seq, item.as_of);
  rig->index->Enqueue(at, std::move(decoded));
}

TEST(RebuildTest, PackedVersionsKeepTheirSeqAndLieInFrames) {
  Rig rig("packs");
  BlockVersion version;
  version.kind = BlockKind::kBaseline;
  version.stored_bytes = 8;
  version.checksum = 5;
  EnqueueFrame(&rig, 4, 4096, {Make(BlocksItem{kFile, kLayout, kDefaultBlockShift, 1, {version}}, Seq{20})},
               {"pppppppp"});
  EnqueueFrame(&rig, 5, 8192, {Make(BlocksItem{kFile, kLayout, kDefaultBlockShift, 1, {version}}, Seq{10})},
               {"pppppppp"});
  std::vector<Seq> seqs;
  BlockEntry last;
  ASSERT_TRUE(rig.index
                  ->BlockChain(kFile, kLayout, 1, kLatest,
                               [&](Seq seq, const BlockEntry& entry) {
                                 seqs.push_back(seq);
                                 last = entry;
                                 return true;
                               })
                  .ok());
  EXPECT_EQ(seqs, (std::vector<Seq>{Seq{20}, Seq{10}}));
  EXPECT_EQ(last.location.segment, SegmentId{5});
  EXPECT_EQ(last.location.frame, 8192u);
  EXPECT_LT(last.location.offset, 100u);
  EXPECT_EQ(rig.index->applied(), Seq{20});
  EXPECT_EQ(rig.index->Moment(Seq{20}).code(), ENOENT);  // a frame is not a moment
}

TEST(RebuildTest, ReferencesBecomeWhatTheyReferTo) {
  Rig rig("references");
  BlockVersion version;
  version.kind = BlockKind::kReference;
  version.stored_bytes = kReferenceBytes;
  version.checksum = 5;
  std::string payload;
  EncodeReference({4096, 77, 500, BlockKind::kBaseline}, &payload);
  EncodeReference({8192, 78, 600, BlockKind::kUnit}, &payload);
  EnqueueFrame(&rig, 4, 12288, {Make(BlocksItem{kFile, kLayout, kDefaultBlockShift, 1, {version, version}}, Seq{20})},
               {payload});
  Seq seq;
  BlockEntry entry;
  ASSERT_TRUE(rig.index->NewestBlock(kFile, kLayout, 1, kLatest, &seq, &entry).ok());
  EXPECT_EQ(entry.location, (Location{SegmentId{4}, 4096, 77}));
  EXPECT_EQ(entry.version.kind, BlockKind::kBaseline);
  EXPECT_EQ(entry.version.stored_bytes, 500u);
  EXPECT_EQ(entry.version.checksum, 5u);
  ASSERT_TRUE(rig.index->NewestBlock(kFile, kLayout, 2, kLatest, &seq, &entry).ok());
  EXPECT_EQ(entry.location, (Location{SegmentId{4}, 8192, 78}));
  EXPECT_EQ(entry.version.kind, BlockKind::kUnit);
}

TEST(RebuildTest, TombstoneAndSuccessorOfANameMayComeInAnyOrder) {
  for (bool gone_first : {false, true}) {
    Rig rig("names");
    EnqueueFrame(&rig, 4, 4096, {Make(NameItem{kDir, EntryId{20}, "name", FileId{8}, 8}, Seq{1})});
    Item gone = Make(NameItem{kDir, EntryId{20}, "name", FileId{}, 0}, Seq{5});
    Item made = Make(NameItem{kDir, EntryId{21}, "name", FileId{9}, 8}, Seq{5});
    EnqueueFrame(&rig, 4, 8192, {gone_first ? gone : made});
    EnqueueFrame(&rig, 4, 12288, {gone_first ? made : gone});
    EXPECT_EQ(rig.index->Name(kDir, "name", kLatest)->child, FileId{9});
    EXPECT_EQ(rig.index->Name(kDir, "name", Seq{4})->child, FileId{8});
    int entries = 0;
    ASSERT_TRUE(
        rig.index->Entries(kDir, EntryId{}, kLatest, [&](EntryId, const EntryValue&) { return ++entries > 0; }).ok());
    EXPECT_EQ(entries, 1);
  }
}

TEST(RebuildTest, RangesOfOneRecordMayBeTornApart) {
  Rig rig("ranges");
  EnqueueFrame(&rig, 4, 4096, {Make(RangeItem{kFile, kLayout, 0, 10}, Seq{5})});
  EnqueueFrame(&rig, 4, 8192, {Make(RangeItem{kFile, kLayout, 20, 30}, Seq{5})});
  EXPECT_EQ(rig.index->CoveringRange(kFile, kLayout, 5, Seq{}, kLatest)->value, 5u);
  EXPECT_EQ(rig.index->CoveringRange(kFile, kLayout, 25, Seq{}, kLatest)->value, 5u);
}

TEST(RebuildTest, MomentsOfPacksAnswerForTimes) {
  Rig rig("moments");
  const std::vector<int64_t> seconds = {10, 20, 5, 6, 7, 4, 30};
  auto times = [&](size_t from, size_t to) {
    std::vector<TimeSpec> out;
    for (size_t i = from; i < to; ++i) out.push_back(TimeSpec{seconds[i], 0});
    return out;
  };
  EnqueueFrame(&rig, 4, 4096, {Make(MomentsItem{Seq{5}, times(4, 7)})});
  EnqueueFrame(&rig, 5, 4096, {Make(MomentsItem{Seq{1}, times(0, 4)}), Make(MomentsItem{Seq{1}, {}})});
  for (int64_t at = 0; at < 35; ++at) {
    uint64_t expected = 0;
    for (size_t i = 0; i < seconds.size(); ++i) {
      if (seconds[i] <= at) expected = i + 1;
    }
    auto found = rig.index->SeqAt(TimeSpec{at, 0});
    ASSERT_EQ(found.ok() ? found->value : 0, expected) << at;
  }
}

}  // namespace
}  // namespace dkfs
