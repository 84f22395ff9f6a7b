#include "tests/golden/scribe.h"

#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>

#include "store/base/hash.h"
#include "store/codec/codec.h"

namespace dkfs::golden {
namespace {

std::string DirOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}
std::string NameOf(const std::string& path) { return path.substr(path.rfind('/') + 1); }
uint8_t TypeOf(uint32_t mode) { return IFTODT(mode); }

}  // namespace

void Scribe::Touch(Node* node) { node->state.mtime = node->state.ctime = {++clock_, 123456789}; }

void Scribe::PutInode(Node* node) {
  Touch(node);
  record_.Inode(node->file, node->state);
  const Node copy = *node;
  for (auto& [path, other] : now_) {
    if (other.file == copy.file) other = copy;
  }
}

void Scribe::PutName(const std::string& path, FileId child, uint8_t type) {
  entries_[path] = store_->NewEntry();
  record_.Name(At(DirOf(path)).file, entries_[path], NameOf(path), child, type);
}

void Scribe::EndName(const std::string& path) {
  record_.NameGone(At(DirOf(path)).file, entries_[path], NameOf(path));
  entries_.erase(path);
}

void Scribe::AddLinks(const std::string& dir, int links) {
  Node& node = At(dir);
  node.state.nlink = static_cast<uint32_t>(static_cast<int>(node.state.nlink) + links);
  PutInode(&node);
}

void Scribe::Commit() {
  Result<Seq> seq = store_->Append(record_);
  DKFS_CHECK(seq.ok());
  for (auto& [key, known] : versions_) {
    if (!known.seq) known.seq = *seq;
  }
  for (auto& [path, node] : now_) {
    if (node.state.replaced && !node.state.replaced_at) node.state.replaced_at = *seq;  // 0 says: this record
  }
  moments_[*seq] = now_;
  record_.Clear();
  payloads_.clear();
}

void Scribe::Begin() {
  Node& root = now_[""];
  root.file = kRootFile;
  root.state.mode = S_IFDIR | 0755;
  root.state.nlink = 2;
  PutInode(&root);
  Commit();
}

void Scribe::Make(const std::string& path, uint32_t mode, uint64_t rdev, const std::string& target,
                  uint8_t block_shift) {
  Node node;
  node.file = store_->NewFile();
  node.state.mode = mode;
  node.state.uid = 1000;
  node.state.gid = 100;
  node.state.nlink = S_ISDIR(mode) ? 2 : 1;
  node.state.rdev = rdev;
  node.state.block_shift = block_shift;
  node.state.symlink_target = target;
  node.state.size = target.size();
  node.state.btime = node.state.atime = {clock_, 5};
  PutName(path, node.file, TypeOf(mode));
  now_[path] = node;
  PutInode(&At(path));
  if (S_ISDIR(mode)) AddLinks(DirOf(path), 1);
  Commit();
}

void Scribe::MakeFile(const std::string& path, uint8_t block_shift) { Make(path, S_IFREG | 0640, 0, "", block_shift); }

void Scribe::Adopt(const std::string& path, uint64_t size) {
  MakeFile(path, kMinBlockShift);
  Node& node = At(path);
  node.state.content = ContentState::kAdopting;
  node.state.size = node.state.adopted_size = size;
  for (uint64_t at = 0; at < size; at += size_t{1} << kMinBlockShift) node.uncaptured.insert(at >> kMinBlockShift);
  PutInode(&node);
  Commit();
}

void Scribe::PutBlock(Node* node, uint64_t block, const std::string& data, bool delta) {
  const std::string zeros(data.size(), '\0');
  const auto held = node->blocks.find(block);
  const std::string& before = held == node->blocks.end() || !held->second ? zeros : *held->second;
  Known& known = versions_[{node->file, block}];
  BlockVersion version{BlockKind::kBaseline, 0, 0, Hash64(AsBytes(data)), Seq{}};
  auto payload = std::make_shared<std::string>();
  delta = delta && known.seq && codec::DiffRanges(AsBytes(before), AsBytes(data), data.size() / 2, payload.get());
  if (delta) {
    version.kind = BlockKind::kDelta;
    version.base_seq = &before == &zeros ? Seq{} : known.seq;
    version.chain_length = static_cast<uint8_t>(version.base_seq ? known.chain + 1 : 1);
  } else if (IsAllZero(AsBytes(data))) {
    version.kind = BlockKind::kHole;
  } else {
    *payload = data.substr(0, data.find_last_not_of('\0') + 1);
  }
  version.stored_bytes = static_cast<uint32_t>(payload->size());
  payloads_.push_back(payload);
  const Bytes part = AsBytes(*payload);
  record_.Blocks(node->file, node->state.layout, node->state.block_shift, block, std::span(&version, 1),
                 std::span(&part, 1));
  known = {Seq{}, version.chain_length};
  node->blocks[block] = version.kind == BlockKind::kHole ? nullptr : std::make_shared<const std::string>(data);
  node->uncaptured.erase(block);
}

void Scribe::Write(const std::string& path, uint64_t offset, const std::string& data, bool delta) {
  Node& node = At(path);
  const uint64_t bytes = uint64_t{1} << node.state.block_shift;
  for (uint64_t at = RoundDown(offset, bytes); at < offset + data.size(); at += bytes) {
    const auto held = node.blocks.find(at / bytes);
    std::string block = held == node.blocks.end() || !held->second ? std::string(bytes, '\0') : *held->second;
    const uint64_t from = std::max(at, offset), end = std::min(at + bytes, offset + data.size());
    block.replace(from - at, end - from, data, from - offset, end - from);
    PutBlock(&node, at / bytes, block, delta);
  }
  node.state.size = std::max(node.state.size, offset + data.size());
  PutInode(&node);
  Commit();
}

// Between the record and the one that voids it the tree is as after the write; no moment lies there once it is voided.
void Scribe::WriteVoided(const std::string& path, uint64_t offset, const std::string& data) {
  const Tree before = now_;
  const auto versions = versions_;
  Write(path, offset, data);
  const Seq seq = moments_.rbegin()->first;
  moments_[seq] = now_ = before;
  versions_ = versions;
  record_.Void(seq);
  Commit();
}

void Scribe::Truncate(const std::string& path, uint64_t size) {
  Node& node = At(path);
  const uint64_t first = size >> node.state.block_shift;
  record_.Range(node.file, node.state.layout, first, kEndOfFile);
  node.blocks.erase(node.blocks.lower_bound(first), node.blocks.end());
  node.state.size = size;
  PutInode(&node);
  Commit();
}

void Scribe::Punch(const std::string& path, uint64_t first_block, uint64_t end_block) {
  Node& node = At(path);
  record_.Range(node.file, node.state.layout, first_block, end_block);
  node.blocks.erase(node.blocks.lower_bound(first_block), node.blocks.lower_bound(end_block));
  PutInode(&node);
  Commit();
}

// One record: all content in blocks of the new size, and nothing of the old layout in force.
void Scribe::Relayout(const std::string& path, const FileLayout& layout) {
  Node& node = At(path);
  const uint64_t old_bytes = uint64_t{1} << node.state.block_shift, bytes = uint64_t{1} << layout.block_shift;
  std::string content(RoundUp(node.state.size, std::max(bytes, old_bytes)), '\0');
  for (const auto& [block, held] : node.blocks) {
    if (held) content.replace(block * old_bytes, old_bytes, *held);
  }
  record_.Range(node.file, node.state.layout, 0, kEndOfFile);
  node.state.layout = LayoutId{node.state.layout.value + 1};
  node.state.block_shift = layout.block_shift;
  node.state.policy = layout.policy;
  node.blocks.clear();
  std::erase_if(versions_, [&](const auto& version) { return version.first.first == node.file; });
  for (uint64_t at = 0; at < node.state.size; at += bytes) {
    PutBlock(&node, at / bytes, content.substr(at, bytes), false);
  }
  PutInode(&node);
  Commit();
}

void Scribe::SetXattr(const std::string& path, const std::string& name, const std::string& value) {
  At(path).xattrs[name] = value;
  record_.Xattr(At(path).file, name, value);
  PutInode(&At(path));
  Commit();
}

void Scribe::RemoveXattr(const std::string& path, const std::string& name) {
  At(path).xattrs.erase(name);
  record_.XattrGone(At(path).file, name);
  PutInode(&At(path));
  Commit();
}

void Scribe::Link(const std::string& path, const std::string& to) {
  ++At(path).state.nlink;
  now_[to] = At(path);
  PutName(to, At(path).file, TypeOf(At(path).state.mode));
  PutInode(&At(path));
  Commit();
}

void Scribe::Rename(const std::string& from, const std::string& to) {
  Node node = At(from);
  if (now_.contains(to)) {
    node.state.replaced = At(to).file;
    node.state.replaced_at = Seq{};
    EndName(to);
    record_.InodeGone(At(to).file);
    now_.erase(to);
  }
  EndName(from);
  now_.erase(from);
  now_[to] = node;
  PutName(to, node.file, TypeOf(node.state.mode));
  PutInode(&At(to));
  Commit();
}

void Scribe::Remove(const std::string& path) {
  Node node = At(path);
  EndName(path);
  now_.erase(path);
  --node.state.nlink;
  if (S_ISDIR(node.state.mode) || node.state.nlink == 0) {
    record_.InodeGone(node.file);
  } else {
    PutInode(&node);
  }
  if (S_ISDIR(node.state.mode)) AddLinks(DirOf(path), -1);
  Commit();
}

void Scribe::Chmod(const std::string& path, uint32_t mode) {
  At(path).state.mode = (At(path).state.mode & S_IFMT) | mode;
  PutInode(&At(path));
  Commit();
}

}  // namespace dkfs::golden
