#include "tests/protocol/stub_file_system.h"

#include <sys/stat.h>

#include <stdexcept>

namespace dkfs {

class FileSystem::Impl {};

namespace {

std::unique_ptr<StubWorld> world;

uint64_t Add(uint32_t mode) {
  uint64_t id = World().next++;
  StubNode& node = World().nodes[id];
  node.state.mode = mode;
  node.state.nlink = 1;
  return id;
}

Attr AttrOf(uint64_t id) {
  const StubNode& node = World().nodes.at(id);
  return {FileId(id), node.state, (node.state.size + 511) / 512};
}

// What every call does first.
Status Enter() {
  if (World().explode) {
    World().explode = false;
    throw std::runtime_error("as asked");
  }
  return World().fail.value_or(Status::Ok());
}

Result<StubNode*> Find(FileId file) {
  DKFS_TRY(Enter());
  auto it = World().nodes.find(file.value);
  if (it == World().nodes.end()) return Status::Error(ESTALE);
  return &it->second;
}

Result<Attr> AddChild(const Caller& caller, FileId parent, std::string_view name, uint32_t mode) {
  std::lock_guard lock(World().mutex);
  World().last_caller = caller;
  DKFS_TRY_ASSIGN(StubNode * dir, Find(parent));
  if (dir->children.contains(std::string(name))) return Status::Error(EEXIST);
  uint64_t id = Add(mode);
  World().nodes[parent.value].children[std::string(name)] = id;
  World().nodes[id].lookups = 1;
  return AttrOf(id);
}

Status RemoveChild(FileId parent, std::string_view name) {
  std::lock_guard lock(World().mutex);
  DKFS_TRY_ASSIGN(StubNode * dir, Find(parent));
  return dir->children.erase(std::string(name)) == 1 ? Status::Ok() : Status::Error(ENOENT);
}

}  // namespace

StubWorld& World() { return *world; }
void ResetWorld() {
  world = std::make_unique<StubWorld>();
  world->nodes[1].state.mode = S_IFDIR | 0755;
}
std::unique_ptr<FileSystem> MakeStubFileSystem() {
  return std::make_unique<FileSystem>(nullptr, nullptr, nullptr, nullptr, nullptr, FileSystemOptions{});
}

FileSystem::FileSystem(Store*, Backing*, InodeTable*, Hydrator*, SharedMutex*, const FileSystemOptions&, Drift*) {}
FileSystem::~FileSystem() = default;

Result<Attr> FileSystem::Lookup(FileId parent, std::string_view name) {
  std::lock_guard lock(World().mutex);
  DKFS_TRY_ASSIGN(StubNode * dir, Find(parent));
  auto it = dir->children.find(std::string(name));
  if (it == dir->children.end()) return Status::Error(ENOENT);
  ++World().nodes[it->second].lookups;
  return AttrOf(it->second);
}
void FileSystem::Begin() {}
void FileSystem::Forget(FileId file, uint64_t count) {
  std::lock_guard lock(World().mutex);
  auto it = World().nodes.find(file.value);
  if (it != World().nodes.end()) it->second.lookups -= std::min(count, it->second.lookups);
}
Result<Attr> FileSystem::Create(const Caller& c, FileId parent, std::string_view name, mode_t mode) {
  return AddChild(c, parent, name, mode);
}
Result<Attr> FileSystem::MakeNode(const Caller& c, FileId parent, std::string_view name, mode_t mode, dev_t) {
  return AddChild(c, parent, name, mode);
}
Result<Attr> FileSystem::MakeDir(const Caller& c, FileId parent, std::string_view name, mode_t mode) {
  return AddChild(c, parent, name, S_IFDIR | mode);
}
Result<Attr> FileSystem::MakeSymlink(const Caller& c, FileId parent, std::string_view name, std::string_view target) {
  auto attr = AddChild(c, parent, name, S_IFLNK | 0777);
  if (attr.ok()) World().nodes[attr->file.value].content = target;
  return attr;
}
Result<Attr> FileSystem::Link(const Caller&, FileId file, FileId parent, std::string_view name) {
  std::lock_guard lock(World().mutex);
  DKFS_TRY_ASSIGN(StubNode * dir, Find(parent));
  dir->children[std::string(name)] = file.value;
  ++World().nodes[file.value].state.nlink;
  return AttrOf(file.value);
}
Result<Attr> FileSystem::CreateTmpfile(const Caller& c, FileId, mode_t mode) {
  std::lock_guard lock(World().mutex);
  World().last_caller = c;
  DKFS_TRY(Enter());
  return AttrOf(Add(mode));
}
Status FileSystem::Unlink(const Caller&, FileId parent, std::string_view name) { return RemoveChild(parent, name); }
Status FileSystem::RemoveDir(const Caller&, FileId parent, std::string_view name) { return RemoveChild(parent, name); }
Status FileSystem::Rename(const Caller&, FileId parent, std::string_view name, FileId to, std::string_view new_name,
                          unsigned flags) {
  std::lock_guard lock(World().mutex);
  DKFS_TRY_ASSIGN(StubNode * dir, Find(parent));
  auto it = dir->children.find(std::string(name));
  if (it == dir->children.end()) return Status::Error(ENOENT);
  auto& target = World().nodes[to.value].children;
  if (flags == 1 && target.contains(std::string(new_name))) return Status::Error(EEXIST);  // RENAME_NOREPLACE
  target[std::string(new_name)] = it->second;
  dir->children.erase(std::string(name));
  return Status::Ok();
}
Result<std::string> FileSystem::ReadLink(FileId file) {
  std::lock_guard lock(World().mutex);
  DKFS_TRY_ASSIGN(StubNode * node, Find(file));
  return node->content;
}
Status FileSystem::ReadDir(FileId file, uint64_t after, const std::function<bool(const DirEntry&)>& each) {
  std::lock_guard lock(World().mutex);
  DKFS_TRY_ASSIGN(StubNode * dir, Find(file));
  if (after < 1 && !each({EntryId(1), file, ".", 4})) return Status::Ok();
  if (after < 2 && !each({EntryId(2), file, "..", 4})) return Status::Ok();
  uint64_t cookie = 15;
  for (const auto& [name, child] : dir->children) {
    if (++cookie <= after) continue;
    if (!each({EntryId(cookie), FileId(child), name, 8})) break;
  }
  return Status::Ok();
}
Result<Attr> FileSystem::LookupEntry(FileId, std::string_view, FileId file) {
  std::lock_guard lock(World().mutex);
  DKFS_TRY_ASSIGN(StubNode * node, Find(file));
  ++node->lookups;
  return AttrOf(file.value);
}
Result<Attr> FileSystem::GetAttr(FileId file) {
  std::lock_guard lock(World().mutex);
  DKFS_TRY(Find(file).status());
  return AttrOf(file.value);
}
uint32_t FileSystem::CachedMode(FileId file) {
  std::lock_guard lock(World().mutex);
  auto it = World().nodes.find(file.value);
  return it == World().nodes.end() ? 0 : it->second.state.mode;
}
Result<Attr> FileSystem::SetAttr(const Caller& caller, FileId file, const SetAttrRequest& request) {
  std::lock_guard lock(World().mutex);
  World().last_caller = caller;
  World().last_setattr = request;
  DKFS_TRY_ASSIGN(StubNode * node, Find(file));
  if (request.size) node->state.size = *request.size, node->content.resize(*request.size);
  if (request.mode) node->state.mode = *request.mode;
  return AttrOf(file.value);
}
Result<std::string> FileSystem::GetXattr(FileId file, std::string_view name) {
  std::lock_guard lock(World().mutex);
  DKFS_TRY_ASSIGN(StubNode * node, Find(file));
  auto it = node->xattrs.find(std::string(name));
  if (it == node->xattrs.end()) return Status::Error(ENODATA);
  return it->second;
}
Result<std::vector<std::string>> FileSystem::ListXattrs(const Caller&, FileId file) {
  std::lock_guard lock(World().mutex);
  DKFS_TRY_ASSIGN(StubNode * node, Find(file));
  std::vector<std::string> names;
  for (const auto& [name, value] : node->xattrs) names.push_back(name);
  return names;
}
Status FileSystem::SetXattr(const Caller&, FileId file, std::string_view name, std::string_view value, int, bool kill) {
  std::lock_guard lock(World().mutex);
  DKFS_TRY_ASSIGN(StubNode * node, Find(file));
  World().last_acl_kill = kill;
  node->xattrs[std::string(name)] = value;
  return Status::Ok();
}
Status FileSystem::RemoveXattr(const Caller&, FileId file, std::string_view name) {
  std::lock_guard lock(World().mutex);
  DKFS_TRY_ASSIGN(StubNode * node, Find(file));
  return node->xattrs.erase(std::string(name)) == 1 ? Status::Ok() : Status::Error(ENODATA);
}
Result<size_t> FileSystem::Read(FileId file, MutableBytes out, uint64_t offset) {
  std::lock_guard lock(World().mutex);
  DKFS_TRY_ASSIGN(StubNode * node, Find(file));
  if (offset >= node->content.size()) return size_t{0};
  size_t n = std::min(out.size(), node->content.size() - offset);
  std::memcpy(out.data(), node->content.data() + offset, n);
  return n;
}
Result<size_t> FileSystem::Write(const Caller& caller, FileId file, Bytes data, uint64_t offset, bool append, bool kill,
                                 bool from_cache) {
  std::lock_guard lock(World().mutex);
  World().last_caller = caller;
  World().last_kill = kill, World().last_append = append, World().last_from_cache = from_cache;
  World().last_data = reinterpret_cast<uintptr_t>(data.data());
  DKFS_TRY_ASSIGN(StubNode * node, Find(file));
  if (node->content.size() < offset + data.size()) node->content.resize(offset + data.size());
  std::memcpy(node->content.data() + offset, data.data(), data.size());
  node->state.size = node->content.size();
  return data.size();
}
Status FileSystem::Allocate(const Caller&, FileId file, int, uint64_t, uint64_t) {
  std::lock_guard lock(World().mutex);
  return Find(file).status();
}
Result<FileSystem::Sought> FileSystem::Seek(FileId file, uint64_t offset, int) {
  std::lock_guard lock(World().mutex);
  DKFS_TRY(Find(file).status());
  if (World().sought.empty()) return Sought{.at = offset + 1};
  Sought next = std::move(World().sought.front());
  World().sought.pop_front();
  return next;
}
Result<size_t> FileSystem::CopyRange(const Caller&, FileId from, uint64_t from_offset, FileId to, uint64_t to_offset,
                                     size_t length) {
  std::lock_guard lock(World().mutex);
  DKFS_TRY(Find(from).status());
  DKFS_TRY_ASSIGN(StubNode * target, Find(to));
  std::string bytes = World().nodes[from.value].content.substr(from_offset, length);
  target->content.resize(std::max<size_t>(target->content.size(), to_offset + bytes.size()));
  target->content.replace(to_offset, bytes.size(), bytes);
  return length;
}
Status FileSystem::FsyncAndWait(FileId file) {
  std::lock_guard lock(World().mutex);
  return Find(file).status();
}

void FileSystem::Fsync(FileId file, std::function<void(Status)> done) {
  Status status;
  {
    std::lock_guard lock(World().mutex);
    status = Find(file).status();
    if (World().drop_barriers) return;
    if (World().hold_barriers) {
      World().barriers.push_back(std::move(done));
      return;
    }
  }
  done(status);
}
Result<struct statvfs> FileSystem::StatFs() {
  struct statvfs st {};
  st.f_bsize = 4096;
  st.f_namemax = 255;
  return st;
}

}  // namespace dkfs
