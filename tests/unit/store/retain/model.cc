#include "tests/unit/store/retain/model.h"

#include "store/codec/codec.h"

namespace dkfs::retain_test {

std::string Model::RandomBlock() {
  std::string block(kBlock, '\0');
  const size_t filled = Dice(4) == 0 ? Dice(kBlock) : kBlock;
  const bool varied = Dice(2) == 0;
  for (size_t i = 0; i < filled; ++i) block[i] = static_cast<char>(varied ? Dice(256) : 'a' + Dice(3));
  if (Dice(5) == 0) block = std::string(kBlock, 'x');  // identical content
  return block;
}

void Model::Change() {
  State state = Now();
  if (state.empty() || (state.size() < 3 && Dice(3) == 0)) return Create(std::move(state));
  switch (Dice(16)) {
    case 0:
      return state.size() < 6 ? Create(std::move(state)) : Unlink(std::move(state));
    case 1:
      return Unlink(std::move(state));
    case 2:
      return RenameOver(std::move(state));
    case 3:
      return Xattr(std::move(state));
    case 4:
      return Zero(std::move(state));
    case 5:
      return Voided(std::move(state));
    case 6:
    case 7:
    case 8:
    case 9:
      return Write(std::move(state));
    default:
      return Delta(std::move(state));
  }
}

void Model::Create(State state) {
  const uint64_t id = next_file_++;
  File file;
  file.inode.mode = 0100644;
  file.inode.nlink = 1;
  file.inode.block_shift = 12;
  file.name = "f" + std::to_string(Dice(8));
  file.entry = EntryId{next_entry_++};
  for (const auto& [other, f] : state) {
    if (f.name == file.name) return;
  }
  files_.insert(id);
  names_.insert(file.name);
  state[id] = file;
  Commit({InodeOf(id, file), NameOf(id, file, false)}, std::move(state));
}

void Model::Write(State state) {
  const uint64_t id = Pick(state);
  File& file = state[id];
  const uint64_t first = Dice(kBlocks), count = std::min<uint64_t>(1 + Dice(3), kBlocks - first);
  BlocksItem blocks{FileId{id}, file.inode.layout, 12, first, {}};
  std::string payload;
  for (uint64_t i = 0; i < count; ++i) {
    const bool hole = Dice(8) == 0;
    const std::string content = hole ? std::string(kBlock, '\0') : RandomBlock();
    const BlockKind kind = hole ? BlockKind::kHole : BlockKind::kBaseline;
    blocks.versions.push_back({kind, 0, hole ? 0 : static_cast<uint32_t>(kBlock), Hash64(AsBytes(content)), Seq{}});
    if (!hole) payload += content;
    file.blocks[first + i] = std::make_shared<std::string>(content);
    file.newest[first + i] = {rig_->next(), 0};
  }
  file.inode.size = std::max<uint64_t>(file.inode.size, (first + count) * kBlock);
  ++file.inode.mtime.sec;
  const Item item{Seq{}, blocks, 0, AsBytes(payload)};
  Commit({InodeOf(id, file), item}, std::move(state));
}

void Model::Delta(State state) {
  const uint64_t id = Pick(state);
  File& file = state[id];
  const uint64_t block = Dice(Dice(2) == 0 ? 1 : kBlocks);  // some blocks are hot
  auto& newest = file.newest[block];
  if (newest.second >= 5) return;
  const std::string before = file.blocks.contains(block) ? *file.blocks[block] : std::string(kBlock, '\0');
  std::string now = before;
  const size_t at = Dice(kBlock - 64);
  for (size_t i = at; i < at + 64; ++i) now[i] = static_cast<char>(Dice(256));
  std::string ranges;
  if (!codec::DiffRanges(AsBytes(before), AsBytes(now), kBlock, &ranges)) return;
  BlocksItem blocks{FileId{id}, file.inode.layout, 12, block, {}};
  blocks.versions.push_back({BlockKind::kDelta, static_cast<uint8_t>(newest.second + 1),
                             static_cast<uint32_t>(ranges.size()), Hash64(AsBytes(now)), newest.first});
  file.blocks[block] = std::make_shared<std::string>(now);
  newest = {rig_->next(), newest.second + 1};
  Commit({Item{Seq{}, blocks, 0, AsBytes(ranges)}}, std::move(state));
}

void Model::Zero(State state) {
  const uint64_t id = Pick(state);
  File& file = state[id];
  const uint64_t first = Dice(kBlocks), end = Dice(2) == 0 ? kEndOfFile : first + 1 + Dice(kBlocks - first);
  std::erase_if(file.blocks, [&](const auto& b) { return b.first >= first && b.first < end; });
  std::erase_if(file.newest, [&](const auto& b) { return b.first >= first && b.first < end; });
  Commit({Item{Seq{}, RangeItem{FileId{id}, file.inode.layout, first, end}, 0, {}}}, std::move(state));
}

void Model::Unlink(State state) {
  const uint64_t id = Pick(state);
  const File file = state[id];
  state.erase(id);
  Commit({NameOf(id, file, true), Item{Seq{}, InodeItem{FileId{id}, {}}, 0, {}}}, std::move(state));
}

// As fs/ops composes it: both old entries end, a new one begins, in one record.
void Model::RenameOver(State state) {
  const uint64_t id = Pick(state), over = Pick(state);
  if (id == over) return;
  const File victim = state[over], before = state[id];
  state.erase(over);
  File& file = state[id];
  file.name = victim.name;
  file.entry = EntryId{next_entry_++};
  file.inode.replaced = FileId{over};
  file.inode.replaced_at = Seq{};
  const Item renamed = InodeOf(id, file);
  file.inode.replaced_at = rig_->next();  // 0 stands for the record itself
  const Item gone{Seq{}, InodeItem{FileId{over}, {}}, 0, {}};
  const std::vector<Item> items{NameOf(id, before, true), NameOf(over, victim, true), NameOf(id, file, false), renamed,
                                gone};
  Commit(items, std::move(state));
}

void Model::Xattr(State state) {
  const uint64_t id = Pick(state);
  File& file = state[id];
  const std::string name = "user.x" + std::to_string(Dice(2));
  const bool gone = file.xattrs.contains(name) && Dice(2) == 0;
  const std::string value = "v" + std::to_string(Dice(100));
  if (gone) {
    file.xattrs.erase(name);
  } else {
    file.xattrs[name] = value;
  }
  Commit({Item{Seq{}, XattrItem{FileId{id}, name, gone ? "" : value, gone}, 0, {}}}, std::move(state));
}

// A write that did not happen. Between the two records the tree is as after the write, and as before it once voided.
void Model::Voided(State state) {
  const State before = state;
  const size_t records = states_.size();
  Write(std::move(state));
  if (states_.size() == records) return;
  const Seq seq{states_.rbegin()->first};
  states_[seq.value] = before;
  Commit({Item{Seq{}, VoidItem{seq}, 0, {}}}, before);
}

void Model::Check(Seq at, const std::string& where) {
  SCOPED_TRACE(where);
  const State& state = states_.at(at.value);
  std::map<std::string, uint64_t> listed;
  ASSERT_OK(rig_->index->Entries(kRootFile, EntryId{}, at, [&](EntryId, const EntryValue& entry) {
    listed[entry.name] = entry.child.value;
    return true;
  }));
  std::map<std::string, uint64_t> expected;
  for (const auto& [id, file] : state) expected[file.name] = id;
  ASSERT_EQ(listed, expected);
  for (const std::string& name : names_) {
    Result<NameValue> found = rig_->index->Name(kRootFile, name, at);
    ASSERT_EQ(found.ok(), expected.contains(name)) << name;
    if (found.ok()) {
      ASSERT_EQ(found->child.value, expected[name]) << name;
    }
  }
  for (uint64_t id : files_) {
    Result<InodeState> inode = rig_->index->Inode(FileId{id}, at);
    ASSERT_EQ(inode.ok(), state.contains(id)) << "file " << id << " " << inode.status().ToString();
    if (!inode.ok()) continue;
    const File& file = state.at(id);
    ASSERT_EQ(*inode, file.inode) << "file " << id;
    ASSERT_EQ(Value(rig_->index->Links(FileId{id}, at)).size(), 1u);
    const auto xattrs = Value(rig_->index->Xattrs(FileId{id}, at));
    const std::map<std::string, std::string> have(xattrs.begin(), xattrs.end());
    ASSERT_EQ(have, file.xattrs) << "file " << id;
    for (uint64_t block = 0; block < kBlocks; ++block) {
      std::string bytes(kBlock, '?');
      Status read = rig_->reconstructor->Block(FileId{id}, *inode, block, at,
                                               {reinterpret_cast<std::byte*>(bytes.data()), bytes.size()});
      ASSERT_TRUE(read.ok()) << read.ToString();
      const bool same = bytes == (file.blocks.contains(block) ? *file.blocks.at(block) : std::string(kBlock, '\0'));
      ASSERT_TRUE(same) << "file " << id << " block " << block;
    }
  }
}

}  // namespace dkfs::retain_test
