// Random histories against the model: every question at every Seq.
#include "tests/unit/store/index/model.h"

namespace dkfs {
namespace {

using Text = std::string;

void SameInodes(Rig* rig, const Model& model, Seq at) {
  std::map<FileId, InodeState> expected, seen;
  model.Each<InodeItem>(at, [&](Seq, const InodeItem& item) { expected[item.file] = item.state; });
  std::erase_if(expected, [](const auto& entry) { return entry.second.nlink == 0; });
  ASSERT_TRUE(
      rig->index->EachInode(at, [&](FileId file, const InodeState& state) { return seen.emplace(file, state).second; })
          .ok());
  EXPECT_EQ(seen, expected);
  for (uint64_t file = 1; file < 6; ++file) {
    auto state = rig->index->Inode(FileId{file}, at);
    ASSERT_EQ(state.code(), expected.contains(FileId{file}) ? 0 : ENOENT);
    if (state.ok()) {
      EXPECT_EQ(*state, expected[FileId{file}]);
    }
  }
}

void SameNames(Rig* rig, const Model& model, Seq at) {
  std::map<std::pair<FileId, EntryId>, NameItem> entries;
  model.Each<NameItem>(at, [&](Seq, const NameItem& item) { entries[{item.parent, item.entry}] = item; });
  std::map<FileId, std::set<std::pair<FileId, EntryId>>> links;
  for (uint64_t dir = 1; dir < 3; ++dir) {
    std::vector<Text> expected, seen;
    std::map<Text, FileId> names;
    for (const auto& [key, item] : entries) {
      if (key.first != FileId{dir} || !item.child) continue;
      expected.push_back(std::to_string(key.second.value) + item.name + std::to_string(item.child.value));
      names[item.name] = item.child;
      links[item.child].insert(key);
    }
    ASSERT_TRUE(rig->index
                    ->Entries(FileId{dir}, EntryId{}, at,
                              [&](EntryId id, const EntryValue& value) {
                                seen.push_back(std::to_string(id.value) + value.name +
                                               std::to_string(value.child.value));
                                return true;
                              })
                    .ok());
    EXPECT_EQ(seen, expected);
    for (const char* name : {"a", "b", "aa", "bb", "c"}) {
      auto found = rig->index->Name(FileId{dir}, name, at);
      ASSERT_EQ(found.code(), names.contains(name) ? 0 : ENOENT) << name;
      if (found.ok()) {
        EXPECT_EQ(found->child, names[name]);
      }
    }
  }
  for (uint64_t child = 1; child < 6; ++child) {
    std::set<std::pair<FileId, EntryId>> seen;
    auto found = rig->index->Links(FileId{child}, at);
    ASSERT_TRUE(found.ok());
    for (const auto& row : *found) seen.emplace(row.parent, row.entry);
    EXPECT_EQ(seen, links[FileId{child}]);
  }
}

void SameXattrs(Rig* rig, const Model& model, Seq at) {
  std::map<std::pair<FileId, Text>, XattrItem> expected;
  model.Each<XattrItem>(at, [&](Seq, const XattrItem& item) { expected[{item.file, item.name}] = item; });
  for (uint64_t file = 1; file < 6; ++file) {
    std::vector<std::pair<Text, Text>> list;
    for (const auto& [key, item] : expected) {
      if (key.first != FileId{file}) continue;
      auto value = rig->index->Xattr(key.first, key.second, at);
      ASSERT_EQ(value.code(), item.gone ? ENOENT : 0);
      if (value.ok()) {
        EXPECT_EQ(*value, item.value);
        list.emplace_back(item.name, item.value);
      }
    }
    EXPECT_EQ(*rig->index->Xattrs(FileId{file}, at), list);
  }
}

using Chain = std::map<uint64_t, uint64_t, std::greater<>>;  // Seq -> checksum, newest first

void SameRange(Rig* rig, const Model& model, FileId file, LayoutId layout, uint64_t block, Seq at) {
  for (uint64_t after : {uint64_t{0}, at.value / 2}) {
    Seq expected;
    model.Each<RangeItem>(at, [&](Seq seq, const RangeItem& item) {
      const bool covers = item.file == file && item.layout == layout && item.first <= block && block < item.end;
      if (covers && seq.value > after) expected = seq;
    });
    EXPECT_EQ(*rig->index->CoveringRange(file, layout, block, Seq{after}, at), expected);
  }
}

void SameBlocks(Rig* rig, const Model& model, FileId file, LayoutId layout, Seq at) {
  std::map<uint64_t, Chain> blocks;
  model.Each<BlocksItem>(at, [&](Seq seq, const BlocksItem& item) {
    if (item.file != file || item.layout != layout) return;
    for (size_t i = 0; i < item.versions.size(); ++i) blocks[item.first + i][seq.value] = item.versions[i].checksum;
  });
  for (uint64_t block = 0; block < 10; ++block) {
    Chain chain;
    ASSERT_TRUE(rig->index
                    ->BlockChain(file, layout, block, at,
                                 [&](Seq seq, const BlockEntry& entry) {
                                   return chain.emplace(seq.value, entry.version.checksum).second;
                                 })
                    .ok());
    EXPECT_EQ(chain, blocks[block]);
    Seq seq;
    BlockEntry entry;
    Status s = rig->index->NewestBlock(file, layout, block, at, &seq, &entry);
    ASSERT_EQ(s.code(), chain.empty() ? ENOENT : 0);
    if (s.ok()) {
      EXPECT_EQ(seq.value, chain.begin()->first);
      EXPECT_EQ(entry.version.checksum, chain.begin()->second);
    }
    SameRange(rig, model, file, layout, block, at);
  }
  for (uint64_t end : {uint64_t{5}, kEndOfFile}) {
    std::map<uint64_t, std::pair<uint64_t, uint64_t>> seen, expected;
    for (const auto& [block, chain] : blocks) {
      if (block >= 1 && block < end && !chain.empty()) expected[block] = *chain.begin();
    }
    ASSERT_TRUE(rig->index
                    ->Blocks(file, layout, 1, end, at,
                             [&](uint64_t block, Seq seq, const BlockEntry& entry) {
                               return seen.emplace(block, std::pair(seq.value, entry.version.checksum)).second;
                             })
                    .ok());
    EXPECT_EQ(seen, expected);
  }
}

}  // namespace

void ExpectSame(Rig* rig, const Model& model, Seq at) {
  SCOPED_TRACE("at " + std::to_string(at.value));
  SameInodes(rig, model, at);
  SameNames(rig, model, at);
  SameXattrs(rig, model, at);
  for (uint64_t file = 2; file < 5; ++file) {
    for (uint64_t layout = 1; layout < 3; ++layout) SameBlocks(rig, model, FileId{file}, LayoutId{layout}, at);
  }
}

void ExpectSameEverywhere(Rig* rig, const Model& model) {
  for (uint64_t at = 0; at <= model.size() && !testing::Test::HasFailure(); ++at) ExpectSame(rig, model, Seq{at});
  ExpectSame(rig, model, kLatest);
  for (int64_t sec = 900; sec < 1300; sec += 3) {
    auto found = rig->index->SeqAt(TimeSpec{sec, 0});
    ASSERT_EQ(found.ok() ? *found : Seq{}, model.SeqAt(TimeSpec{sec, 0})) << sec;
  }
}

namespace {

TEST(HistoryTest, EveryQuestionAtEverySeqMatchesTheModel) {
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Rig rig("history");
    Model model;
    Maker maker(seed);
    for (int i = 0; i < 100; ++i) {
      const std::vector<Item> items = maker.Next(model);
      const TimeSpec time = maker.Time();
      rig.Append(items, time);
      model.Append(items, time);
      if (maker.Below(10) == 0) ExpectSame(&rig, model, kLatest);
      if (maker.Below(30) == 0) {
        ASSERT_TRUE(rig.Flush().ok());
      }
    }
    ExpectSameEverywhere(&rig, model);
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace dkfs
