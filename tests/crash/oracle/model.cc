#include "tests/crash/oracle/model.h"

#include <algorithm>

namespace dkfs::oracle {
namespace {

std::string ParentOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}

// Names below `dir`, itself included, taken out of `names`.
std::vector<std::pair<std::string, int64_t>> TakeBelow(std::map<std::string, int64_t>* names, const std::string& dir) {
  std::vector<std::pair<std::string, int64_t>> taken;
  for (auto it = names->begin(); it != names->end();) {
    if (it->first == dir || it->first.starts_with(dir + "/")) {
      taken.emplace_back(it->first.substr(dir.size()), it->second);
      it = names->erase(it);
    } else {
      ++it;
    }
  }
  return taken;
}

std::string Octal(unsigned mode) {
  char text[16];
  snprintf(text, sizeof text, "%04o", mode);
  return text;
}

}  // namespace

int SharedNumber(const std::string& path) { return path.back() - '0'; }

Model::Model(uint32_t thread) : thread_(thread) {
  Node home;
  home.type = 'd';
  home.mode = 0755;
  Add(HomeOf(thread), home);
  for (int i = 0; i < kSharedFiles; ++i) {
    Node region;
    region.type = 'r';
    region.data = std::make_shared<std::string>(RegionContent(i, thread));
    nodes_[RegionNode(i)] = std::move(region);
  }
  touched_.clear();
}

size_t Model::Links(const std::string& path) const {
  const auto same = [id = Find(path)](const auto& name) { return name.second == id; };
  return static_cast<size_t>(std::count_if(names_.begin(), names_.end(), same));
}

bool Model::IsEmptyDir(const std::string& path) const {
  const auto next = names_.upper_bound(path);
  for (auto it = next; it != names_.end() && it->first.starts_with(path); ++it) {
    if (it->first.starts_with(path + "/")) return false;
  }
  return true;
}

std::string* Model::Edit(int64_t id) {
  Node& node = nodes_.at(id);
  auto copy = node.data == nullptr ? std::make_shared<std::string>() : std::make_shared<std::string>(*node.data);
  std::string* content = copy.get();
  node.data = std::move(copy);
  node.mtime_ns.reset();
  Touch(id);
  return content;
}

void Model::Put(int64_t id, uint64_t offset, std::string_view bytes) {
  if (bytes.empty()) return;
  std::string* content = Edit(id);
  if (content->size() < offset + bytes.size()) content->resize(offset + bytes.size());
  content->replace(offset, bytes.size(), bytes);
}

void Model::Resize(int64_t id, uint64_t size) { Edit(id)->resize(size); }

void Model::Touch(int64_t id) { touched_.push_back(id); }

void Model::TouchParent(const std::string& path) {
  const std::string parent = ParentOf(path);
  if (parent == kShared) {
    Touch(kSharedDirNode);
    return;
  }
  const auto it = names_.find(parent);
  if (it == names_.end()) return;
  nodes_.at(it->second).mtime_ns.reset();
  Touch(it->second);
}

void Model::Add(const std::string& path, Node node) {
  const int64_t id = next_++;
  names_[path] = id;
  nodes_[id] = std::move(node);
  TouchParent(path);
  Touch(id);
}

void Model::Remove(const std::string& path) {
  names_.erase(path);
  TouchParent(path);
}

void Model::Move(const std::string& from, const std::string& to) {
  if (names_.contains(to)) Remove(to);
  for (const auto& [rest, id] : TakeBelow(&names_, from)) names_[to + rest] = id;
  TouchParent(from);
  TouchParent(to);
}

void Model::Exchange(const std::string& a, const std::string& b) {
  const auto of_a = TakeBelow(&names_, a), of_b = TakeBelow(&names_, b);
  for (const auto& [rest, id] : of_a) names_[b + rest] = id;
  for (const auto& [rest, id] : of_b) names_[a + rest] = id;
  TouchParent(a);
  TouchParent(b);
}

void Model::Apply(const Op& op, size_t step) {
  touched_.clear();
  if (op.kind <= Kind::kExtend && op.kind != Kind::kCreate) return ApplyContent(op, step);
  switch (op.kind) {
    case Kind::kCopyRange:
    case Kind::kSyncWrite:
    case Kind::kDsyncWrite:
    case Kind::kSharedWrite:
      return ApplyContent(op, step);
    case Kind::kChmod:
    case Kind::kChown:
    case Kind::kUtimens:
    case Kind::kSetXattr:
    case Kind::kRemoveXattr:
      return ApplyAttributes(op);
    case Kind::kFsync:
    case Kind::kFdatasync:
    case Kind::kSyncDir:
    case Kind::kSharedSync:
      return;
    default:
      return ApplyNames(op);
  }
}

void Model::ApplyContent(const Op& op, size_t step) {
  const Piece piece = op.pieces.empty() ? Piece{op.offset, op.data.size()} : op.pieces[step];
  if (op.kind == Kind::kSharedWrite) {
    Put(RegionNode(SharedNumber(op.path)), piece.offset - thread_ * kRegionBytes,
        std::string_view(op.data).substr(piece.offset - op.offset, piece.bytes));
    return;
  }
  const int64_t id = Find(op.path);
  const uint64_t size = nodes_.at(id).size();
  switch (op.kind) {
    case Kind::kTruncateDown:
    case Kind::kTruncateUp:
      return Resize(id, op.bytes);
    case Kind::kExtend:
      return Resize(id, std::max(size, op.offset + op.bytes));
    case Kind::kAllocateKeep:  // a change to the file's times, as on ext4
      nodes_.at(id).mtime_ns.reset();
      return Touch(id);
    case Kind::kPunch: {
      const uint64_t end = std::min(size, op.offset + op.bytes);
      if (op.offset < end) Put(id, op.offset, std::string(end - op.offset, '\0'));
      nodes_.at(id).mtime_ns.reset();
      return;
    }
    case Kind::kZeroRange:
      return Put(id, op.offset, std::string(op.bytes, '\0'));
    case Kind::kCopyRange: {
      const Piece copied = op.pieces.empty() ? Piece{op.offset, op.bytes} : op.pieces[step];
      const Node& source = nodes_.at(Find(op.other));
      return Put(id, copied.offset, source.data->substr(op.from + copied.offset - op.offset, copied.bytes));
    }
    default:
      break;
  }
  Put(id, piece.offset, std::string_view(op.data).substr(piece.offset - op.offset, piece.bytes));
}

void Model::ApplyNames(const Op& op) {
  Node made;
  made.mode = op.mode;
  switch (op.kind) {
    case Kind::kCreate:
      return Add(op.path, made);
    case Kind::kTmpFile:
      made.data = std::make_shared<std::string>(op.data);
      return Add(op.path, made);
    case Kind::kMkdir:
      made.type = 'd';
      return Add(op.path, made);
    case Kind::kFifo:
      made.type = 'p';
      return Add(op.path, made);
    case Kind::kSymlink:
      made.type = 'l';
      made.mode = 0777;
      made.target = op.data;
      return Add(op.path, made);
    case Kind::kLink:
      names_[op.other] = Find(op.path);
      return TouchParent(op.other);
    case Kind::kExchange:
      return Exchange(op.path, op.other);
    case Kind::kRename:
    case Kind::kRenameOver:
    case Kind::kNoReplace:
      return Move(op.path, op.other);
    default:  // unlink, orphan, rmdir
      return Remove(op.path);
  }
}

void Model::ApplyAttributes(const Op& op) {
  const int64_t id = Find(op.path);
  Node& node = nodes_.at(id);
  if (op.kind == Kind::kChmod) node.mode = op.mode;
  if (op.kind == Kind::kUtimens) node.mtime_ns = op.mtime_ns;
  if (op.kind == Kind::kSetXattr) node.xattrs[op.xattr] = op.data;
  if (op.kind == Kind::kRemoveXattr) node.xattrs.erase(op.xattr);
  if (op.kind == Kind::kChown) {
    node.uid = op.uid;
    node.gid = op.gid;
  }
  Touch(id);
}

std::vector<int64_t> Model::CoveredBy(const Op& op) const {
  if (op.kind == Kind::kSharedSync) return {RegionNode(SharedNumber(op.path))};
  if (op.kind == Kind::kSyncDir && op.path == kShared) return {kSharedDirNode};
  return {Find(op.path)};
}

Rows Model::ToRows() const {
  std::map<int64_t, std::vector<std::string>> groups;
  for (const auto& [path, id] : names_) groups[id].push_back(path);
  Rows rows;
  for (const auto& [path, id] : names_) {
    const Node& node = nodes_.at(id);
    const auto& group = groups[id];
    Row row;
    row.node = id;
    row.mtime_ns = node.mtime_ns;
    row.meta = std::string(1, node.type) + " " + Octal(node.mode) + " " + std::to_string(node.uid) + ":" +
               std::to_string(node.gid);
    if (node.type != 'd') row.meta += " links=" + std::to_string(group.size());
    for (const auto& [name, value] : node.xattrs) row.meta += " " + name + "=" + value;
    if (node.type == 'l') row.meta += " -> " + node.target;
    if (group.size() > 1) row.meta += " same=" + group.front();
    static const auto kEmpty = std::make_shared<const std::string>();
    if (node.type == 'f') row.SetContent(node.data == nullptr ? kEmpty : node.data);
    rows[path] = std::move(row);
  }
  for (int i = 0; i < kSharedFiles; ++i) {
    Row& row = rows[RegionRow(i, thread_)];
    row.meta = "region";
    row.node = RegionNode(i);
    row.SetContent(nodes_.at(RegionNode(i)).data);
  }
  return rows;
}

}  // namespace dkfs::oracle
