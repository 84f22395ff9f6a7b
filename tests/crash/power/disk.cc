#include "tests/crash/power/disk.h"

#include <algorithm>

namespace dkfs::test {
namespace {

Status Unknown(std::string_view path) { return Status::Corruption("trace: " + std::string(path) + " is not there"); }

}  // namespace

Disk::Disk() : root_(std::make_shared<Node>()) { root_->is_dir = true; }

Disk::NodeRef Disk::Find(std::string_view path) const {
  NodeRef node = described_ ? described_ : root_;
  while (node && !path.empty()) {
    const std::string name(path.substr(0, path.find('/')));
    path.remove_prefix(std::min(path.size(), name.size() + 1));
    const auto it = node->now.find(name);
    node = it == node->now.end() ? nullptr : it->second;
  }
  return node;
}

Disk::NodeRef Disk::ParentOf(std::string_view path, std::string* name) const {
  const size_t slash = path.rfind('/');
  *name = path.substr(slash == std::string_view::npos ? 0 : slash + 1);
  return Find(path.substr(0, slash == std::string_view::npos ? 0 : slash));
}

Status Disk::SetName(uint64_t index, std::string_view path, NodeRef node) {
  std::string name;
  const NodeRef parent = ParentOf(path, &name);
  if (!parent) return Unknown(path);
  parent->now[name] = node;
  parent->pending_names.push_back({index, "", name, std::move(node)});
  return Status::Ok();
}

Status Disk::EraseName(uint64_t index, std::string_view path) {
  std::string name;
  const NodeRef parent = ParentOf(path, &name);
  if (!parent || parent->now.erase(name) == 0) return Status::Ok();  // made by somebody the trace does not see
  parent->pending_names.push_back({index, name, "", nullptr});
  return Status::Ok();
}

Status Disk::Rename(uint64_t index, std::string_view from, std::string_view to) {
  std::string old_name, new_name;
  const NodeRef source = ParentOf(from, &old_name), target = ParentOf(to, &new_name);
  const NodeRef node = Find(from);
  if (!source || !target || !node) return Unknown(from);
  if (source != target) return Status::Corruption("trace: a rename between directories");  // the store makes none
  source->now.erase(old_name);
  source->now[new_name] = node;
  source->pending_names.push_back({index, old_name, new_name, node});
  return Status::Ok();
}

Status Disk::Create(uint64_t index, const IoEvent& event) {
  const NodeRef old = Find(event.path);
  if (old && old->ino == event.ino) {  // emptied
    Write({index, Kind::kTruncate, 0, 0, {}}, event.ino);
    return Status::Ok();
  }
  auto node = std::make_shared<Node>();
  node->ino = event.ino;
  by_ino_[event.ino] = node;
  return SetName(index, event.path, std::move(node));
}

void Disk::Write(Change change, uint64_t ino) {
  const auto it = by_ino_.find(ino);
  if (it != by_ino_.end()) it->second->pending.push_back(change);
}

Status Disk::Apply(uint64_t index, uint32_t pid, const IoEvent& event) {
  if (described_ || event.op <= IoOp::kBegun) {
    if (event.op == IoOp::kBegin) Begin(event);
    return event.op == IoOp::kBegun ? Described(index) : Describe(event);
  }
  switch (event.op) {
    case IoOp::kCreate:
      return Create(index, event);
    case IoOp::kWrite:
      Write({index, Kind::kWrite, event.offset, event.length, event.data}, event.ino);
      return Status::Ok();
    case IoOp::kTruncate:
      Write({index, Kind::kTruncate, 0, event.length, {}}, event.ino);
      return Status::Ok();
    case IoOp::kAllocate:
      Write({index, Kind::kAllocate, 0, event.length, {}}, event.ino);
      return Status::Ok();
    case IoOp::kRename:
      return Rename(index, event.path, event.to);
    case IoOp::kUnlink:
    case IoOp::kRemoveDir:
      return EraseName(index, event.path);
    case IoOp::kMakeDir: {
      auto node = std::make_shared<Node>();
      node->is_dir = true;
      return SetName(index, event.path, std::move(node));
    }
    case IoOp::kLink: {
      const NodeRef node = Find(event.path);
      return node ? SetName(index, event.to, node) : Unknown(event.path);
    }
    case IoOp::kSyncEnded:
      EndSync(pid, event);
      return Status::Ok();
    default:
      BeginSync(index, pid, event);
      return Status::Ok();
  }
}

// --- what stood there when a process began ---

void Disk::Begin(const IoEvent&) {
  described_ = std::make_shared<Node>();
  described_->is_dir = true;
}

Status Disk::Describe(const IoEvent& event) {
  std::string name;
  if (event.op == IoOp::kHasDir || event.op == IoOp::kHasFile) {
    const NodeRef parent = ParentOf(event.path, &name);
    if (!parent) return Unknown(event.path);
    auto node = std::make_shared<Node>();
    node->is_dir = event.op == IoOp::kHasDir;
    node->ino = event.ino;
    node->durable.size = event.length;
    parent->now[name] = parent->names[name] = node;
    if (!node->is_dir) described_->pending_names.push_back({event.ino, "", "", node});  // to be found by kWrite
    return Status::Ok();
  }
  if (event.op != IoOp::kWrite) return Status::Ok();
  for (const NameChange& known : described_->pending_names) {
    if (known.index == event.ino) known.node->durable.Put(event.offset, event.length, event.data);
  }
  return Status::Ok();
}

Status Disk::Described(uint64_t index) {
  const NodeRef found = std::move(described_);
  described_ = nullptr;
  found->pending_names.clear();
  if (!described_before_) {
    root_ = found;
    EachNode(root_, [&](const NodeRef& node) {
      if (!node->is_dir) by_ino_[node->ino] = node;
    });
  } else {
    Compare(index, root_, found);
  }
  described_before_ = true;
  return Status::Ok();
}

// A process that was killed left the files as `found`: what differs was done, and its event is missing or beside.
void Disk::Compare(uint64_t index, const NodeRef& old, const NodeRef& found) {
  const Names before = old->now;
  for (const auto& [name, node] : before) {
    if (found->now.contains(name)) continue;
    old->now.erase(name);
    old->pending_names.push_back({index, name, "", nullptr});
  }
  for (const auto& [name, node] : found->now) {
    const auto it = old->now.find(name);
    const bool same = it != old->now.end() && it->second->is_dir == node->is_dir && it->second->ino == node->ino;
    if (!same) {
      old->now[name] = node;
      old->pending_names.push_back({index, "", name, node});
      if (!node->is_dir) by_ino_[node->ino] = node;
    } else if (node->is_dir) {
      Compare(index, it->second, node);
    } else {
      it->second->durable = node->durable;  // the same boot: nothing is lost, so take it as it is
      it->second->pending.clear();
    }
  }
}

// --- syncs ---

void Disk::EachNode(const NodeRef& node, const std::function<void(const NodeRef&)>& each) {
  each(node);
  for (const auto& [name, child] : node->now) EachNode(child, each);
}

void Disk::BeginSync(uint64_t index, uint32_t pid, const IoEvent& event) {
  Sync sync;
  sync.begun = index;
  if (event.op == IoOp::kSyncBegun) {
    const auto it = by_ino_.find(event.ino);
    if (it != by_ino_.end()) sync.nodes.push_back(it->second);
  } else if (event.op == IoOp::kSyncDirBegun) {
    if (NodeRef dir = Find(event.path)) sync.nodes.push_back(std::move(dir));
  } else {
    EachNode(root_, [&](const NodeRef& node) { sync.nodes.push_back(node); });
  }
  const bool of_data = sync.nodes.size() == 1 && !sync.nodes[0]->is_dir && !sync.nodes[0]->pending.empty();
  if (delay_ && of_data && sync.nodes[0]->pending.back().length < kPage * 16 &&
      !sync.nodes[0]->pending.back().data.empty()) {
    sync.begun = sync.nodes[0]->pending.back().index;
    delay_ = false;
    delayed_ = true;
  }
  syncs_[{pid, event.offset}] = std::move(sync);
}

void Disk::EndSync(uint32_t pid, const IoEvent& event) {
  const auto it = syncs_.find({pid, event.offset});
  if (it == syncs_.end()) return;
  for (const NodeRef& node : it->second.nodes) MakeDurable(node, it->second.begun, &last_durable_name_);
  syncs_.erase(it);
}

void Disk::ApplyChange(const Change& change, Content* content) {
  switch (change.kind) {
    case Kind::kWrite:
      content->Put(change.offset, change.length, change.data);
      content->size = std::max(content->size, change.offset + change.length);
      return;
    case Kind::kTruncate:
      if (change.length < content->size) content->DropFrom(change.length);
      content->size = change.length;
      return;
    case Kind::kAllocate:
      content->size = std::max(content->size, change.length);
      return;
  }
}

void Disk::MakeDurable(const NodeRef& node, uint64_t before, uint64_t* last_name) {
  auto& changes = node->pending;
  auto end = std::find_if(changes.begin(), changes.end(), [&](const Change& change) { return change.index >= before; });
  for (auto it = changes.begin(); it != end; ++it) ApplyChange(*it, &node->durable);
  changes.erase(changes.begin(), end);
  auto& names = node->pending_names;
  auto name = names.begin();
  for (; name != names.end() && name->index < before; ++name) {
    if (!name->erase.empty()) node->names.erase(name->erase);
    if (!name->set.empty()) node->names[name->set] = name->node;
    *last_name = std::max(*last_name, name->index);
  }
  names.erase(names.begin(), name);
}

uint64_t Disk::unsynced_writes() const {
  uint64_t count = 0;
  EachNode(root_, [&](const NodeRef& node) { count += node->pending.size(); });
  return count;
}

uint64_t Disk::unsynced_names() const {
  uint64_t count = 0;
  EachNode(root_, [&](const NodeRef& node) { count += node->pending_names.size(); });
  return count;
}

}  // namespace dkfs::test
