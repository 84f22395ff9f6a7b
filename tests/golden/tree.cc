#include "tests/golden/tree.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstdio>

#include "store/base/hash.h"

namespace dkfs::golden {
namespace {

std::string Join(const std::string& dir, const std::string& name) { return dir.empty() ? name : dir + "/" + name; }

class Checker {
 public:
  Checker(Store& store, const Tree& tree, Seq at) : store_(store), tree_(tree), at_(at) {
    for (const auto& [path, node] : tree) {
      if (path.empty()) continue;
      const size_t slash = path.rfind('/');
      names_[slash == std::string::npos ? "" : path.substr(0, slash)].push_back(
          slash == std::string::npos ? path : path.substr(slash + 1));
    }
  }

  Check Run() {
    for (const auto& [path, node] : tree_) {
      Inode(path, node);
      Xattrs(path, node);
      if (S_ISDIR(node.state.mode)) Directory(path, node);
      if (S_ISREG(node.state.mode)) Content(path, node);
      if (!check_.wrong.empty()) break;
    }
    return check_;
  }

 private:
  void Wrong(const std::string& path, const std::string& what) {
    if (check_.wrong.empty()) check_.wrong = "'" + path + "' at seq " + std::to_string(at_.value) + ": " + what;
  }
  // True when it was answered. ENOENT is an answer, and a lie.
  bool Answered(const Status& status, const std::string& path, const std::string& what) {
    if (status.ok()) return true;
    if (status.IsNotFound()) Wrong(path, what + " is said not to exist");
    ++check_.refused;
    check_.codes.insert(status.code());
    if (check_.first_refusal.empty()) check_.first_refusal = what + " of '" + path + "': " + status.ToString();
    return false;
  }

  void Inode(const std::string& path, const Node& node) {
    Result<InodeState> state = store_.GetInode(node.file, at_);
    if (Answered(state.status(), path, "inode") && *state != node.state) Wrong(path, "inode differs");
    if (path.empty()) return;
    Result<std::vector<LinkName>> links = store_.Links(node.file, at_);
    if (!Answered(links.status(), path, "names")) return;
    const size_t expected = S_ISDIR(node.state.mode) ? 1 : node.state.nlink;
    if (links->size() != expected) Wrong(path, std::to_string(links->size()) + " names");
  }

  void Xattrs(const std::string& path, const Node& node) {
    auto xattrs = store_.ListXattrs(node.file, at_);
    if (!Answered(xattrs.status(), path, "attributes")) return;
    if (std::map<std::string, std::string>(xattrs->begin(), xattrs->end()) != node.xattrs) Wrong(path, "attributes");
  }

  void Directory(const std::string& path, const Node& node) {
    std::vector<std::string> listed;
    Status list = store_.List(node.file, EntryId{}, at_, [&](EntryId, const EntryValue& value) {
      listed.push_back(value.name);
      const auto found = tree_.find(Join(path, value.name));
      if (found == tree_.end() || found->second.file != value.child) Wrong(path, "lists '" + value.name + "' wrongly");
      return true;
    });
    std::vector<std::string> expected = names_[path];
    if (Answered(list, path, "listing")) {
      std::sort(listed.begin(), listed.end());
      std::sort(expected.begin(), expected.end());
      if (listed != expected) Wrong(path, "lists " + std::to_string(listed.size()) + " names");
    }
    for (const std::string& name : expected) {
      Result<NameValue> found = store_.Lookup(node.file, name, at_);
      if (!Answered(found.status(), Join(path, name), "name")) continue;
      if (found->child != tree_.at(Join(path, name)).file) Wrong(Join(path, name), "leads elsewhere");
    }
  }

  void Content(const std::string& path, const Node& node) {
    const size_t bytes = size_t{1} << node.state.block_shift;
    const uint64_t blocks = (node.state.size + bytes - 1) >> node.state.block_shift;
    uint64_t next = 0;
    Status read = store_.ReadBlocks(node.file, node.state, 0, blocks, at_, [&](const Store::BlockRun& run) {
      if (run.first != next) Wrong(path, "blocks passed over");
      next = run.first + run.count;
      for (uint64_t i = 0; i < run.count; ++i) BlockIs(path, node, run, i, bytes);
      return true;
    });
    if (Answered(read, path, "content") && next != blocks) Wrong(path, "content ends early");
  }

  void BlockIs(const std::string& path, const Node& node, const Store::BlockRun& run, uint64_t i, size_t bytes) {
    const uint64_t block = run.first + i;
    if (run.status.code() == ENODATA) {
      if (!node.uncaptured.contains(block)) Wrong(path, "block " + std::to_string(block) + " said to be uncaptured");
      return;
    }
    if (!Answered(run.status, path, "block " + std::to_string(block))) return;
    const auto expected = node.blocks.find(block);
    const Bytes data = run.hole ? Bytes() : run.data.subspan(i * bytes, bytes);
    const bool zeros = expected == node.blocks.end() || expected->second == nullptr;
    const bool right = zeros ? (run.hole || IsAllZero(data)) : !run.hole && AsString(data) == *expected->second;
    if (!right || node.uncaptured.contains(block)) Wrong(path, "wrong bytes in block " + std::to_string(block));
  }

  Store& store_;
  const Tree& tree_;
  const Seq at_;
  std::map<std::string, std::vector<std::string>> names_;
  Check check_;
};

void ReadContent(Store& store, Seq at, Node* node) {
  const size_t bytes = size_t{1} << node->state.block_shift;
  const uint64_t blocks = (node->state.size + bytes - 1) >> node->state.block_shift;
  const Status read = store.ReadBlocks(node->file, node->state, 0, blocks, at, [&](const Store::BlockRun& run) {
    DKFS_CHECK(run.status.ok() || run.status.code() == ENODATA);
    for (uint64_t i = 0; i < run.count && !run.hole; ++i) {
      if (!run.status.ok()) {
        node->uncaptured.insert(run.first + i);
      } else {
        node->blocks[run.first + i] = std::make_shared<const std::string>(AsString(run.data.subspan(i * bytes, bytes)));
      }
    }
    return true;
  });
  DKFS_CHECK(read.ok());
}

void ReadNode(Store& store, Seq at, FileId file, const std::string& path, Tree* tree) {
  Node& node = (*tree)[path];
  node.file = file;
  Result<InodeState> state = store.GetInode(file, at);
  DKFS_CHECK(state.ok());
  node.state = *state;
  auto xattrs = store.ListXattrs(file, at);
  DKFS_CHECK(xattrs.ok());
  node.xattrs = {xattrs->begin(), xattrs->end()};
  if (S_ISREG(node.state.mode)) ReadContent(store, at, &node);
  if (!S_ISDIR(node.state.mode)) return;
  const Status listed = store.List(file, EntryId{}, at, [&](EntryId, const EntryValue& entry) {
    ReadNode(store, at, entry.child, Join(path, entry.name), tree);
    return true;
  });
  DKFS_CHECK(listed.ok());
}

std::string ContentText(const Node& node) {
  if (!node.uncaptured.empty()) return "uncaptured:" + std::to_string(node.uncaptured.size());
  Hasher hasher;
  const std::string zeros(size_t{1} << node.state.block_shift, '\0');
  for (uint64_t at = 0, block = 0; at < node.state.size; at += zeros.size(), ++block) {
    const auto found = node.blocks.find(block);
    const std::string& bytes = found == node.blocks.end() || !found->second ? zeros : *found->second;
    hasher.Update(AsBytes(bytes).first(std::min<uint64_t>(bytes.size(), node.state.size - at)));
  }
  char hex[32];
  std::snprintf(hex, sizeof hex, "%016llx", static_cast<unsigned long long>(hasher.Finish()));
  return hex;
}

}  // namespace

Check CheckTree(Store& store, const Tree& tree, Seq at) { return Checker(store, tree, at).Run(); }

Tree ReadTree(Store& store, Seq at) {
  Tree tree;
  ReadNode(store, at, kRootFile, "", &tree);
  return tree;
}

std::string TreeText(const Tree& tree) {
  std::string text;
  for (const auto& [path, node] : tree) {
    char line[256];
    const InodeState& s = node.state;
    std::snprintf(line, sizeof line, " mode=%o owner=%u:%u links=%u size=%llu mtime=%lld.%09u", s.mode, s.uid, s.gid,
                  s.nlink, static_cast<unsigned long long>(s.size), static_cast<long long>(s.mtime.sec), s.mtime.nsec);
    text += (path.empty() ? "." : path) + line;
    if (S_ISREG(s.mode)) text += " xxh3=" + ContentText(node);
    if (s.rdev != 0) text += " rdev=" + std::to_string(s.rdev);
    if (!s.symlink_target.empty()) text += " -> " + s.symlink_target;
    for (const auto& [name, value] : node.xattrs) text += " " + name + "=" + value;
    text += "\n";
  }
  return text;
}

}  // namespace dkfs::golden
