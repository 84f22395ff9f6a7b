#include "tests/unit/store/model.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "store/base/hash.h"
#include "store/codec/codec.h"

namespace dkfs::test {
namespace {

constexpr uint64_t kModelBlocks = 40;

std::string IdText(FileId file) { return "file " + std::to_string(file.value); }

}  // namespace

std::string Difference(const ModelTree& a, const ModelTree& b) {
  if (a.names != b.names) return "names: " + std::to_string(a.names.size()) + " and " + std::to_string(b.names.size());
  for (const auto& [file, data] : a.files) {
    auto other = b.files.find(file);
    if (other == b.files.end()) return IdText(file) + " missing in the second";
    if (data.state != other->second.state) return IdText(file) + " state";
    if (data.xattrs != other->second.xattrs) return IdText(file) + " xattrs";
    if (data.blocks == other->second.blocks) continue;
    for (uint64_t block = 0; block < kModelBlocks; ++block) {
      const auto one = data.blocks.find(block), two = other->second.blocks.find(block);
      const bool has_one = one != data.blocks.end(), has_two = two != other->second.blocks.end();
      if (has_one != has_two || (has_one && one->second != two->second)) {
        return IdText(file) + " block " + std::to_string(block) + (has_one ? " data" : " zeros") +
               (has_two ? "/data" : "/zeros");
      }
    }
    return IdText(file) + " blocks beyond the model's";
  }
  return a.files.size() == b.files.size() ? "" : "files missing in the first";
}

namespace {

Status ReadContent(Store& store, FileId file, Seq at, ModelFile* data) {
  Status damage;
  const auto take = [&](const Store::BlockRun& run) {
    if (!run.status.ok()) damage = run.status;
    for (uint64_t i = 0; !run.hole && run.status.ok() && i < run.count; ++i) {
      data->blocks[run.first + i] = std::string(AsString(run.data.subspan(i * kModelBlock, kModelBlock)));
    }
    return true;
  };
  DKFS_TRY(store.ReadBlocks(file, data->state, 0, kModelBlocks, at, take));
  std::erase_if(data->blocks, [](const auto& block) { return IsAllZero(AsBytes(block.second)); });
  return damage;
}

}  // namespace

Status ReadTree(Store& store, Seq at, ModelTree* tree) {
  DKFS_TRY(store.EachInode(at, [&](FileId file, const InodeState& state) {
    tree->files[file].state = state;
    return true;
  }));
  for (auto& [file, data] : tree->files) {
    using Xattrs = std::vector<std::pair<std::string, std::string>>;
    DKFS_TRY_ASSIGN(const Xattrs xattrs, store.ListXattrs(file, at));
    data.xattrs = {xattrs.begin(), xattrs.end()};
    if (!S_ISDIR(data.state.mode)) {
      DKFS_TRY(ReadContent(store, file, at, &data));
      continue;
    }
    DKFS_TRY(store.List(file, EntryId{}, at, [&, dir = file](EntryId entry, const EntryValue& value) {
      tree->names[{dir, value.name}] = {entry, value.child};
      return true;
    }));
  }
  return Status::Ok();
}

ModelTree TreeOf(Store& store, Seq at) {
  ModelTree tree;
  const Status read = ReadTree(store, at, &tree);
  EXPECT_TRUE(read.ok()) << read.ToString();
  return tree;
}

void Driver::Begin() {
  InodeState root;
  root.mode = S_IFDIR | 0755;
  root.nlink = 2;
  root.block_shift = kModelShift;
  now_.files[kRootFile].state = root;
  record_.Clear();
  PutInode(kRootFile);
  Commit();
}

void Driver::PutInode(FileId file) { record_.Inode(file, now_.files[file].state); }

void Driver::Step() {
  static constexpr Change kChanges[] = {&Driver::Create,     &Driver::Remove,      &Driver::Rename,
                                        &Driver::Link,       &Driver::WriteBlocks, &Driver::WriteBlocks,
                                        &Driver::WriteDelta, &Driver::WriteDelta,  &Driver::WriteDelta,
                                        &Driver::Truncate,   &Driver::SetXattr};
  record_.Clear();
  payloads_.clear();
  payloads_.reserve(64);
  (this->*kChanges[random_.Below(std::size(kChanges))])();
  if (!record_.empty()) Commit();
}

void Driver::Commit() {
  Result<Seq> seq = store_->Append(record_);
  ASSERT_TRUE(seq.ok()) << seq.status().ToString();
  for (auto& [file, blocks] : versions_) {
    for (auto& [block, version] : blocks) {
      if (!version.first) version.first = *seq;
    }
  }
  moments_[*seq] = now_;
}

void Driver::ForgetAfter(Seq last) {
  moments_.erase(moments_.upper_bound(last), moments_.end());
  now_ = moments_.rbegin()->second;
  versions_.clear();  // the next writes are whole blocks
}

FileId Driver::AnyFile() {
  std::vector<FileId> found;
  for (const auto& [file, data] : now_.files) {
    if (S_ISREG(data.state.mode)) found.push_back(file);
  }
  return found.empty() ? FileId{} : found[random_.Below(found.size())];
}

FileId Driver::AnyDir() {
  std::vector<FileId> found;
  for (const auto& [file, data] : now_.files) {
    if (S_ISDIR(data.state.mode)) found.push_back(file);
  }
  return found[random_.Below(found.size())];
}

void Driver::Create() {
  const FileId parent = AnyDir();
  const std::string name = random_.Name(3);
  if (now_.names.contains({parent, name})) return;
  const FileId file = store_->NewFile();
  const EntryId entry = store_->NewEntry();
  InodeState& state = now_.files[file].state;
  const bool dir = random_.OneIn(4);
  state.mode = dir ? S_IFDIR | 0700 : S_IFREG | 0644;
  state.nlink = dir ? 2 : 1;
  state.block_shift = kModelShift;
  state.mtime = {static_cast<int64_t>(random_.Below(1u << 30)), 5};
  now_.names[{parent, name}] = {entry, file};
  record_.Name(parent, entry, name, file, dir ? 4 : 8);
  PutInode(file);
  if (dir) ++now_.files[parent].state.nlink;
  if (dir) PutInode(parent);
}

void Driver::Remove() {
  if (now_.names.empty()) return;
  auto it = std::next(now_.names.begin(), static_cast<long>(random_.Below(now_.names.size())));
  const auto [key, name] = *it;
  ModelFile& file = now_.files[name.child];
  if (S_ISDIR(file.state.mode)) {
    for (const auto& [other, unused] : now_.names) {
      if (other.first == name.child) return;  // not empty
    }
    file.state.nlink = 0;
    --now_.files[key.first].state.nlink;
    PutInode(key.first);
  } else {
    --file.state.nlink;
  }
  record_.NameGone(key.first, name.entry, key.second);
  if (file.state.nlink == 0) {
    record_.InodeGone(name.child);
    now_.files.erase(name.child);
    versions_.erase(name.child);
  } else {
    PutInode(name.child);
  }
  now_.names.erase(it);
}

void Driver::Rename() {
  if (now_.names.empty()) return;
  auto it = std::next(now_.names.begin(), static_cast<long>(random_.Below(now_.names.size())));
  const auto [key, name] = *it;
  const std::string to = random_.Name(3);
  const FileId parent = S_ISDIR(now_.files[name.child].state.mode) ? key.first : AnyDir();
  auto target = now_.names.find({parent, to});
  if (target == it) return;
  if (target != now_.names.end()) {
    const ModelName lost = target->second;
    ModelFile& loser = now_.files[lost.child];
    if (!S_ISREG(loser.state.mode) || loser.state.nlink != 1 || S_ISDIR(now_.files[name.child].state.mode) ||
        lost.child == name.child)
      return;
    record_.NameGone(parent, lost.entry, to);
    record_.InodeGone(lost.child);
    now_.files.erase(lost.child);
    versions_.erase(lost.child);
    if (random_.OneIn(2)) {
      now_.files[name.child].state.replaced = lost.child;
      now_.files[name.child].state.replaced_at = Seq{last().value + 1};
    }
    PutInode(name.child);
  }
  const EntryId entry = store_->NewEntry();
  record_.NameGone(key.first, name.entry, key.second);
  record_.Name(parent, entry, to, name.child, S_ISDIR(now_.files[name.child].state.mode) ? 4 : 8);
  now_.names.erase(key);
  now_.names[{parent, to}] = {entry, name.child};
}

void Driver::Link() {
  const FileId file = AnyFile();
  const FileId parent = AnyDir();
  const std::string name = random_.Name(3);
  if (!file || now_.names.contains({parent, name})) return;
  const EntryId entry = store_->NewEntry();
  ++now_.files[file].state.nlink;
  now_.names[{parent, name}] = {entry, file};
  record_.Name(parent, entry, name, file, 8);
  PutInode(file);
}

std::string Driver::RandomBlock() {
  std::string block(kModelBlock, '\0');
  if (random_.OneIn(3)) {
    block.replace(0, 4, random_.Text(4));  // compressible, and sometimes equal to others
  } else {
    block = random_.Text(kModelBlock);
  }
  return block;
}

void Driver::WriteBlocks() {
  const FileId file = AnyFile();
  if (!file) return;
  ModelFile& data = now_.files[file];
  const uint64_t first = random_.Below(kModelBlocks),
                 count = 1 + random_.Below(std::min<uint64_t>(6, kModelBlocks - first));
  std::vector<BlockVersion> versions;
  for (uint64_t i = 0; i < count; ++i) {
    const std::string block = random_.OneIn(6) ? std::string(kModelBlock, '\0') : RandomBlock();
    const bool hole = IsAllZero(AsBytes(block));
    const size_t stored = hole ? 0 : block.find_last_not_of('\0') + 1;  // a short payload is zero padded
    versions.push_back({hole ? BlockKind::kHole : BlockKind::kBaseline, 0, static_cast<uint32_t>(stored),
                        Hash64(AsBytes(block)), Seq{}});
    payloads_.push_back(block.substr(0, stored));
    if (hole) {
      data.blocks.erase(first + i);
    } else {
      data.blocks[first + i] = block;
    }
    versions_[file][first + i] = {Seq{}, 0};
  }
  std::vector<Bytes> parts;
  for (const std::string& payload : payloads_) parts.push_back(AsBytes(payload));
  record_.Blocks(file, LayoutId{1}, kModelShift, first, versions, parts);
  data.state.size = std::max(data.state.size, (first + count) * kModelBlock);
  PutInode(file);
}

void Driver::WriteDelta() {
  const FileId file = AnyFile();
  if (!file || versions_[file].empty()) return;
  auto& known = versions_[file];
  auto it = std::next(known.begin(), static_cast<long>(random_.Below(known.size())));
  ModelFile& data = now_.files[file];
  const auto [base, chain] = it->second;
  if (chain >= 20) return;
  auto held = data.blocks.find(it->first);
  const std::string before = held == data.blocks.end() ? std::string(kModelBlock, '\0') : held->second;
  std::string after = before;
  random_.Overwrite(&after, random_.Below(kModelBlock - 40), 40);
  std::string ranges;
  ASSERT_TRUE(codec::DiffRanges(AsBytes(before), AsBytes(after), kModelBlock, &ranges));
  // After a range the block is zeros, and so is what a delta stands on.
  const bool zeros = held == data.blocks.end();
  const BlockVersion version{BlockKind::kDelta, static_cast<uint8_t>(zeros ? 1 : chain + 1),
                             static_cast<uint32_t>(ranges.size()), Hash64(AsBytes(after)), zeros ? Seq{} : base};
  payloads_.push_back(ranges);
  const Bytes part = AsBytes(payloads_.back());
  record_.Blocks(file, LayoutId{1}, kModelShift, it->first, std::span(&version, 1), std::span(&part, 1));
  data.blocks[it->first] = after;
  it->second = {Seq{}, version.chain_length};
}

void Driver::Truncate() {
  const FileId file = AnyFile();
  if (!file) return;
  ModelFile& data = now_.files[file];
  const uint64_t first = random_.Below(kModelBlocks);
  const bool punch = random_.OneIn(2);
  const uint64_t end = punch ? first + 1 + random_.Below(5) : kEndOfFile;
  record_.Range(file, LayoutId{1}, first, end);
  std::erase_if(data.blocks, [&](const auto& block) { return block.first >= first && block.first < end; });
  if (!punch) data.state.size = std::min(data.state.size, first * kModelBlock);
  PutInode(file);
}

void Driver::SetXattr() {
  const FileId file = AnyFile();
  if (!file) return;
  const std::string name = "user." + random_.Name(1);
  if (random_.OneIn(3)) {
    record_.XattrGone(file, name);
    now_.files[file].xattrs.erase(name);
  } else {
    now_.files[file].xattrs[name] = random_.Text(8);
    record_.Xattr(file, name, now_.files[file].xattrs[name]);
  }
}

}  // namespace dkfs::test
