// Chains, ranges and units over an index made by hand.
#include "store/replay/reconstruct.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

#include "store/base/hash.h"
#include "store/codec/codec.h"
#include "store/format/record.h"
#include "store/format/segment.h"
#include "store/replay/unit.h"
#include "tests/support/temp_dir.h"

namespace dkfs::test {
namespace {

constexpr FileId kFile{5}, kBase{6};
constexpr LayoutId kLayout{1};
constexpr size_t kBytes = size_t{1} << kMinBlockShift;

uint64_t BytesReadByThisProcess() {
  std::ifstream io("/proc/self/io");
  std::string name;
  uint64_t bytes = 0;
  io >> name >> bytes;
  EXPECT_EQ(name, "rchar:");
  return bytes;
}

class ReconstructTest : public testing::Test {
 protected:
  void SetUp() override {
    Result<std::unique_ptr<Kv>> kv = Kv::Open(dir_ / "index", KvOptions{});
    ASSERT_TRUE(kv.ok()) << kv.status().ToString();
    kv_ = std::move(kv).value();
    index_ = std::make_unique<Index>(kv_.get());
    ASSERT_TRUE(index_->Load().ok());
    SegmentHeader header;
    header.id = SegmentId{1};
    const auto encoded = EncodeSegmentHeader(header);
    segment_ = std::string(AsString(encoded));
    state_.block_shift = kMinBlockShift;
    state_.size = 100 * kBytes;
  }
  static std::string Block(const std::string& text) { return text + std::string(kBytes - text.size(), '\0'); }

  // Puts a payload into the segment and its version into the index.
  void Put(FileId file, uint64_t block, uint64_t seq, BlockKind kind, const std::string& payload,
           const std::string& result, uint64_t base = 0) {
    const BlockVersion version{kind, 0, static_cast<uint32_t>(payload.size()), Hash64(AsBytes(result)), Seq{base}};
    PutEntry(file, block, seq, {version, {SegmentId{1}, 0, static_cast<uint32_t>(segment_.size())}});
    segment_ += payload;
  }
  void PutEntry(FileId file, uint64_t block, uint64_t seq, const BlockEntry& entry) {
    KvBatch batch;
    batch.Put(Family::kBlock, keys::Block(file, kLayout, block, Seq{seq}), values::Encode(entry));
    ASSERT_TRUE(index_->Write(&batch).ok());
  }
  void PutRange(uint64_t seq, uint64_t first, uint64_t end) {
    KvBatch batch;
    batch.Put(Family::kRange, keys::Range(kFile, Seq{seq}, 0), values::Encode(RangeItem{kFile, kLayout, first, end}));
    ASSERT_TRUE(index_->Write(&batch).ok());
  }
  // A frame as packing makes it, with baselines of the blocks from `first` on. Returns where its first payload stands
  // in the segment if it is stored plainly.
  size_t PutFrame(uint64_t first, const std::vector<std::string>& blocks, bool compressed) {
    std::string body(48, 'i');  // an item's front, which nobody looks at here
    segment_.resize(RoundUp(segment_.size(), 8));
    const auto frame = static_cast<uint32_t>(segment_.size());
    for (size_t i = 0; i < blocks.size(); ++i) {
      const auto bytes = static_cast<uint32_t>(blocks[i].size());
      const BlockVersion version{BlockKind::kBaseline, 0, bytes, HashZeroPadded(AsBytes(blocks[i]), kBytes), Seq{}};
      PutEntry(kFile, first + i, 2, {version, {SegmentId{1}, frame, static_cast<uint32_t>(body.size())}});
      body += blocks[i];
    }
    std::string stored;
    EXPECT_TRUE(codec::Compress(AsBytes(body), 1, &stored).ok());
    if (!compressed) stored = body;
    RecordHeader header;
    header.flags = compressed ? kRecordZstd : 0;
    header.stored_bytes = static_cast<uint32_t>(stored.size());
    header.body_bytes = static_cast<uint32_t>(body.size());
    header.length = static_cast<uint32_t>(RoundUp(kRecordHeaderBytes + stored.size(), 8));
    header.item_count = 1;
    header.body_checksum = Hash64(AsBytes(stored));
    header.seq = Seq{2};
    segment_ += AsString(EncodeRecordHeader(header, 0));
    segment_ += stored;
    return frame + kRecordHeaderBytes + 48;
  }
  static std::string Delta(const std::string& before, const std::string& after) {
    std::string out;
    EXPECT_TRUE(codec::DiffRanges(AsBytes(before), AsBytes(after), kBytes, &out));
    return out;
  }
  // The block's text without its zeros; "!..." for an error.
  std::string Read(uint64_t block, uint64_t at, Reconstructor::Newest* newest = nullptr) {
    PutFile(dir_ / SegmentName(SegmentId{1}, SegmentKind::kJournal), segment_);
    SegmentReader reader(dir_.path());
    Reconstructor reconstructor(index_.get(), &reader);
    std::string out(kBytes, '?');
    Status status = reconstructor.Block(kFile, state_, block, Seq{at},
                                        {reinterpret_cast<std::byte*>(out.data()), out.size()}, newest);
    return status.ok() ? out.substr(0, out.find('\0')) : "!" + status.ToString();
  }
  std::string Runs(uint64_t first, uint64_t end, uint64_t at) {
    PutFile(dir_ / SegmentName(SegmentId{1}, SegmentKind::kJournal), segment_);
    SegmentReader reader(dir_.path());
    Reconstructor reconstructor(index_.get(), &reader);
    std::string text;
    Status status = reconstructor.Blocks(kFile, state_, first, end, Seq{at}, [&](const BlockRun& run) {
      const char* sort = run.hole                       ? "hole"
                         : run.status.ok()              ? "data"
                         : run.status.code() == ENODATA ? "uncaptured"
                                                        : "damage";
      text += std::to_string(run.first) + "+" + std::to_string(run.count) + " " + sort + "; ";
      EXPECT_EQ(run.data.size(), run.hole || !run.status.ok() ? 0 : run.count * kBytes);
      return true;
    });
    return status.ok() ? text : status.ToString();
  }

  TempDir dir_;
  std::unique_ptr<Kv> kv_;
  std::unique_ptr<Index> index_;
  std::string segment_;
  InodeState state_;
};

TEST_F(ReconstructTest, ABlockWithoutVersionsIsZeros) {
  Reconstructor::Newest newest;
  EXPECT_EQ(Read(3, 9, &newest), "");
  EXPECT_TRUE(newest.hole);
  EXPECT_EQ(newest.checksum, Hash64(AsBytes(Block(""))));
}

TEST_F(ReconstructTest, UncapturedContentIsNotZeros) {
  state_.content = ContentState::kAdopting;
  state_.adopted_size = 2 * kBytes + 1;
  EXPECT_EQ(Read(2, 9).substr(0, 1), "!");
  EXPECT_EQ(Read(3, 9), "");
  PutRange(4, 2, kEndOfFile);
  EXPECT_EQ(Read(2, 9), "");
  EXPECT_EQ(Read(2, 3).substr(0, 1), "!");
  EXPECT_EQ(Runs(0, 5, 9), "0+1 uncaptured; 1+1 uncaptured; 2+3 hole; ");
}

TEST_F(ReconstructTest, AChainOfDeltasStandsOnItsBaseline) {
  const std::string one = Block("one"), two = Block("two!"), three = Block("three");
  Put(kFile, 0, 1, BlockKind::kBaseline, "one", one);
  Put(kFile, 0, 3, BlockKind::kDelta, Delta(one, two), two, 1);
  Put(kFile, 0, 7, BlockKind::kDelta, Delta(two, three), three, 3);
  EXPECT_EQ(Read(0, 9), "three");
  EXPECT_EQ(Read(0, 6), "two!");
  EXPECT_EQ(Read(0, 2), "one");
  EXPECT_EQ(Read(0, 0), "");
}

TEST_F(ReconstructTest, ANewerRangeHidesAndAnOlderOrEqualOneDoesNot) {
  Put(kFile, 4, 5, BlockKind::kBaseline, "x", Block("x"));
  PutRange(5, 4, 5);
  EXPECT_EQ(Read(4, 9), "x");
  PutRange(6, 0, 5);
  EXPECT_EQ(Read(4, 9), "");
  EXPECT_EQ(Read(4, 5), "x");
  const std::string after = Block("after");
  Put(kFile, 4, 8, BlockKind::kDelta, Delta(Block(""), after), after, 0);
  EXPECT_EQ(Read(4, 9), "after");
}

TEST_F(ReconstructTest, AWrongChecksumIsDamageAndGivesNoBytes) {
  Put(kFile, 1, 2, BlockKind::kBaseline, "good", Block("other"));
  const std::string error = Read(1, 9);
  EXPECT_NE(error.find("file 5 block 1"), std::string::npos) << error;
  EXPECT_NE(error.find("seq 2"), std::string::npos) << error;
}

TEST_F(ReconstructTest, BrokenChainsAreDamage) {
  const std::string one = Block("one"), two = Block("two");
  Put(kFile, 0, 3, BlockKind::kDelta, Delta(one, two), two, 1);  // its base is gone
  EXPECT_NE(Read(0, 9).find("seq 1 is missing"), std::string::npos) << Read(0, 9);
  Put(kFile, 1, 3, BlockKind::kDelta, Delta(one, two), two, 3);  // stands on itself
  EXPECT_EQ(Read(1, 9).substr(0, 1), "!");
  Put(kFile, 2, 3, BlockKind::kBaseline, std::string(kBytes + 1, 'x'), two);
  EXPECT_EQ(Read(2, 9).substr(0, 1), "!");
  PutEntry(kFile, 3, 3, {{BlockKind::kBaseline, 0, 8, 1, Seq{}}, {SegmentId{77}, 0, 4096}});
  EXPECT_NE(Read(3, 9).find("missing"), std::string::npos) << Read(3, 9);
  PutEntry(kFile, 4, 3, {{BlockKind::kBaseline, 0, 8, 1, Seq{}}, {SegmentId{1}, 0, 1u << 30}});
  EXPECT_EQ(Read(4, 9).substr(0, 1), "!");
  PutEntry(kFile, 5, 3, {{BlockKind::kBaseline, 0, 8, 1, Seq{}}, {SegmentId{1}, 4096, 0}});
  EXPECT_EQ(Read(5, 9).substr(0, 1), "!");
}

TEST_F(ReconstructTest, AnEndlessChainIsDamage) {
  std::string before = Block("");
  for (uint64_t seq = 1; seq <= 300; ++seq) {
    const std::string after = Block(std::to_string(seq));
    Put(kFile, 0, seq, BlockKind::kDelta, Delta(before, after), after, seq - 1);
    before = after;
  }
  EXPECT_EQ(Read(0, 255), "255");
  EXPECT_NE(Read(0, 300).find("too long"), std::string::npos) << Read(0, 300);
}

TEST_F(ReconstructTest, AUnitIsPatchedFromTheFileItReplaced) {
  const std::string base = Block("base one") + Block("base two");
  const std::string now = Block("base ONE") + Block("base two") + std::string("tail");
  Put(kBase, 0, 1, BlockKind::kBaseline, "base one", Block("base one"));
  Put(kBase, 1, 1, BlockKind::kBaseline, "base two", Block("base two"));
  Put(kBase, 1, 8, BlockKind::kBaseline, "later", Block("later"));
  UnitHeader header{kBase,
                    kLayout,
                    kMinBlockShift,
                    Seq{4},
                    0,
                    static_cast<uint32_t>(base.size()),
                    10 * kBytes,
                    static_cast<uint32_t>(now.size())};
  std::string payload;
  EncodeUnitHeader(header, &payload);
  ASSERT_TRUE(codec::RsyncDelta(AsBytes(base), AsBytes(now), &payload).ok());
  const auto place = static_cast<uint32_t>(segment_.size());
  segment_ += payload;
  const std::string expected[] = {Block("base ONE"), Block("base two"), Block("tail")};
  for (uint64_t i = 0; i < 3; ++i) {
    PutEntry(kFile, 10 + i, 5,
             {{BlockKind::kUnit, 0, static_cast<uint32_t>(payload.size()), Hash64(AsBytes(expected[i])), Seq{}},
              {SegmentId{1}, 0, place}});
  }
  EXPECT_EQ(Read(10, 9), "base ONE");
  EXPECT_EQ(Read(11, 9), "base two");
  EXPECT_EQ(Read(12, 9), "tail");
  EXPECT_EQ(Runs(9, 14, 9), "9+1 hole; 10+3 data; 13+1 hole; ");
}

// Files as temp and rename leave them, each packed by itself: all but the first stand on their predecessor.
TEST_F(ReconstructTest, UnitsThatStandOnUnitsAreDecodedOnce) {
  constexpr uint64_t kBlocks = 64;
  std::string content;
  for (uint64_t i = 0; i < kBlocks; ++i) {
    const std::string block = Block("block " + std::to_string(i));
    Put(FileId{10}, i, 1, BlockKind::kBaseline, block, block);
    content += block;
  }
  for (uint64_t depth = 1; depth < kMaxUnitDepth; ++depth) {
    const FileId file = depth + 1 == kMaxUnitDepth ? kFile : FileId{10 + depth};
    const std::string base = content;
    content.replace(depth * kBytes, 3, "new");
    const auto bytes = static_cast<uint32_t>(content.size());
    std::string payload;
    EncodeUnitHeader({FileId{9 + depth}, kLayout, kMinBlockShift, Seq{depth}, 0, bytes, 0, bytes}, &payload);
    ASSERT_TRUE(codec::RsyncDelta(AsBytes(base), AsBytes(content), &payload).ok());
    const Location place{SegmentId{1}, 0, static_cast<uint32_t>(segment_.size())};
    segment_ += payload;
    for (uint64_t i = 0; i < kBlocks; ++i) {
      const uint64_t checksum = Hash64(AsBytes(content.substr(i * kBytes, kBytes)));
      const auto stored_bytes = static_cast<uint32_t>(payload.size());
      PutEntry(file, i, depth + 1, {{BlockKind::kUnit, 0, stored_bytes, checksum, Seq{}}, place});
    }
  }
  PutFile(dir_ / SegmentName(SegmentId{1}, SegmentKind::kJournal), segment_);
  SegmentReader reader(dir_.path());
  Reconstructor reconstructor(index_.get(), &reader);
  const uint64_t before = BytesReadByThisProcess();
  std::string block(kBytes, '?');
  const MutableBytes out{reinterpret_cast<std::byte*>(block.data()), kBytes};
  for (uint64_t i = 0; i < kBlocks; ++i) {
    ASSERT_TRUE(reconstructor.Block(kFile, state_, i, Seq{9}, out).ok());
    ASSERT_EQ(block, content.substr(i * kBytes, kBytes)) << i;
    ASSERT_LT(BytesReadByThisProcess() - before, 2 * segment_.size()) << i;
  }
}

TEST_F(ReconstructTest, AUnitThatStandsOnItselfIsDamage) {
  UnitHeader header{kFile, kLayout, kMinBlockShift, Seq{5}, 0, kBytes, 0, kBytes};
  std::string payload;
  EncodeUnitHeader(header, &payload);
  Put(kFile, 0, 5, BlockKind::kUnit, payload + "x", Block("x"));
  EXPECT_NE(Read(0, 9).find("too deep"), std::string::npos) << Read(0, 9);
}

TEST_F(ReconstructTest, AStreamGivesRunsOfOneSort) {
  for (uint64_t block = 10; block < 20; ++block) Put(kFile, block, 2, BlockKind::kBaseline, Block("b"), Block("b"));
  Put(kFile, 13, 3, BlockKind::kHole, "", Block(""));
  PutRange(4, 15, 17);
  Put(kFile, 18, 5, BlockKind::kBaseline, "wrong", Block("right"));
  EXPECT_EQ(Runs(8, 22, 9),
            "8+2 hole; 10+3 data; 13+1 hole; 14+1 data; 15+2 hole; 17+1 data; 18+1 damage; 19+1 data; 20+2 hole; ");
  EXPECT_EQ(Runs(0, 100, 1), "0+100 hole; ");
}

TEST_F(ReconstructTest, AStreamOverManyBlocksGivesEveryByte) {
  state_.size = 3000 * kBytes;
  for (uint64_t block = 0; block < 1500; ++block) {
    const std::string bytes = Block("block " + std::to_string(block));
    Put(kFile, block * 2 - block % 3, 2, BlockKind::kBaseline, bytes, bytes);
  }
  PutFile(dir_ / SegmentName(SegmentId{1}, SegmentKind::kJournal), segment_);
  SegmentReader reader(dir_.path());
  Reconstructor reconstructor(index_.get(), &reader);
  uint64_t next = 0, data = 0;
  ASSERT_TRUE(reconstructor
                  .Blocks(kFile, state_, 0, 3000, Seq{9},
                          [&](const BlockRun& run) {
                            EXPECT_EQ(run.first, next);
                            next = run.first + run.count;
                            for (uint64_t i = 0; i < run.count && !run.hole; ++i, ++data) {
                              const std::string_view text = AsString(run.data.subspan(i * kBytes, kBytes));
                              EXPECT_TRUE(text.starts_with("block ")) << run.first + i;
                              const uint64_t number = std::stoull(std::string(text.substr(6, 6)));
                              EXPECT_EQ(number * 2 - number % 3, run.first + i);
                            }
                            return true;
                          })
                  .ok());
  EXPECT_EQ(next, 3000u);
  EXPECT_GT(data, 900u);
}

TEST_F(ReconstructTest, AStreamOverFramesGivesEveryByteAsLongAsItIsHeld) {
  state_.size = 400 * kBytes;
  std::string want(400 * kBytes, '\0');
  for (uint64_t frame = 0; frame < 6; ++frame) {
    std::vector<std::string> blocks;
    for (uint64_t i = 0; i < 60; ++i) {
      blocks.push_back(Block("block " + std::to_string(frame * 60 + i) + std::string(frame * i, 'x')));
      if (i == 59) blocks.back().resize(2000);  // as of a file that ended there
      std::copy(blocks.back().begin(), blocks.back().end(), want.begin() + (frame * 60 + i) * kBytes);
    }
    PutFrame(frame * 60, blocks, frame % 3 != 0);
  }
  for (uint64_t block : {0u, 17u, 70u, 71u, 200u}) {  // chains among them
    const std::string before = want.substr(block * kBytes, kBytes), after = Block("delta");
    Put(kFile, block, 5, BlockKind::kDelta, Delta(before, after), after, 2);
    want.replace(block * kBytes, kBytes, after);
  }
  PutFile(dir_ / SegmentName(SegmentId{1}, SegmentKind::kJournal), segment_);
  SegmentReader reader(dir_.path(), /*cache_bytes=*/1);
  Reconstructor reconstructor(index_.get(), &reader);
  std::vector<BlockRun> held;
  ASSERT_TRUE(reconstructor
                  .Blocks(kFile, state_, 0, 400, Seq{9},
                          [&](const BlockRun& run) {
                            held.push_back(run);
                            return true;
                          })
                  .ok());
  std::string got(400 * kBytes, '\0');
  uint64_t next = 0;
  for (const BlockRun& run : held) {
    ASSERT_TRUE(run.status.ok()) << run.status.ToString();
    EXPECT_EQ(run.first, next);
    EXPECT_LE(run.data.size(), Reconstructor::kRunBytes);
    next += run.count;
    std::copy_n(AsString(run.data).begin(), run.data.size(), got.begin() + run.first * kBytes);
  }
  EXPECT_EQ(next, 400u);
  EXPECT_TRUE(got == want);
}

TEST_F(ReconstructTest, ADamagedByteOfAPlainFrameCostsItsBlockOnly) {
  const size_t at = PutFrame(0, std::vector<std::string>(10, Block("plain")), false);
  PutFrame(10, std::vector<std::string>(10, Block("compressed")), true);
  EXPECT_EQ(Runs(0, 20, 9), "0+10 data; 10+10 data; ");
  segment_[at + 3 * kBytes + 100] ^= 1;
  EXPECT_EQ(Runs(0, 20, 9), "0+3 data; 3+1 damage; 4+6 data; 10+10 data; ");
  EXPECT_EQ(Read(2, 9), "plain");
  EXPECT_EQ(Read(3, 9).substr(0, 1), "!");
  segment_[segment_.size() - 20] ^= 1;
  EXPECT_EQ(Read(12, 9).substr(0, 1), "!");
  EXPECT_EQ(Read(2, 9), "plain");
}

TEST_F(ReconstructTest, ExplainsKnowsEveryKeptVersion) {
  Put(kFile, 0, 1, BlockKind::kBaseline, "one", Block("one"));
  Put(kFile, 0, 4, BlockKind::kBaseline, "two", Block("two"));
  SegmentReader reader(dir_.path());
  Reconstructor reconstructor(index_.get(), &reader);
  EXPECT_TRUE(*reconstructor.Explains(kFile, state_, 0, Seq{9}, Hash64(AsBytes(Block("one")))));
  EXPECT_TRUE(*reconstructor.Explains(kFile, state_, 0, Seq{9}, Hash64(AsBytes(Block("")))));
  EXPECT_FALSE(*reconstructor.Explains(kFile, state_, 0, Seq{3}, Hash64(AsBytes(Block("two")))));
  EXPECT_FALSE(*reconstructor.Explains(kFile, state_, 0, Seq{9}, 42));
}

TEST(UnitTest, HeadersComeBackAndNonsenseIsDamage) {
  const UnitHeader header{FileId{7}, LayoutId{3}, 13, Seq{99}, 1 << 20, 4097, 1 << 21, kMaxUnitBytes};
  std::string payload;
  EncodeUnitHeader(header, &payload);
  ASSERT_EQ(payload.size(), kUnitHeaderBytes);
  payload += "delta";
  UnitHeader read;
  Bytes delta;
  ASSERT_TRUE(DecodeUnit(AsBytes(payload), &read, &delta).ok());
  EXPECT_EQ(read, header);
  EXPECT_EQ(AsString(delta), "delta");
  for (size_t cut = 0; cut < kUnitHeaderBytes; ++cut) {
    EXPECT_TRUE(DecodeUnit(AsBytes(payload).first(cut), &read, &delta).IsCorruption());
  }
  for (size_t at : {12, 13, 7, 24, 32, 47}) {
    std::string bad = payload;
    bad[at] = '\xff';
    EXPECT_TRUE(DecodeUnit(AsBytes(bad), &read, &delta).IsCorruption()) << at;
  }
}

}  // namespace
}  // namespace dkfs::test
