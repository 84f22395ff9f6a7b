// Everything that has no content: directories, symbolic links, sockets, fifos, devices; and the attributes of all.
#include <algorithm>
#include <unordered_map>

#include "fs/hydrate/impl.h"
#include "store/base/log.h"

namespace dkfs {

Status Hydrator::Impl::PrepareDirectory(Inode& dir, const std::string& path) {
  InodeState state;
  bool owes;
  {
    SharedLock l(dir.lock);
    if (dir.presence == Presence::kPresent) return Status::Ok();
    state = dir.state;
    owes = OwesAttributes(dir);
  }
  DKFS_TRY_ASSIGN(const bool trusted, FingerprintMatches(dir.id, path));
  if (!trusted) {
    DKFS_TRY(EnsureDirectory(dir.id, path));
    DKFS_TRY(MoveStrangersAside(dir.id, path));
  }
  if (!trusted || owes) {
    DKFS_TRY(ApplyAttributes(dir.id, state, path));
    NoteTouched(dir.id);
  }
  ExclusiveLock l(dir.lock);
  dir.presence = Presence::kPresent;
  if (!trusted || owes) dir.times_dirty = true;
  return Status::Ok();
}

// Directories above get their attributes when they are prepared themselves.
Status Hydrator::Impl::EnsureDirectory(FileId dir, const std::string& path) {
  bool made = false;
  for (size_t end = 0; end != std::string::npos && !path.empty();) {
    end = path.find('/', end + 1);
    const std::string at = path.substr(0, end);
    Result<struct stat> st = backing->Stat(at);
    if (st.ok() && S_ISDIR(st->st_mode)) continue;
    if (!st.ok() && !st.status().IsNotFound()) return st.status();
    if (st.ok()) DKFS_TRY(aside.MoveName(at));
    DKFS_TRY(backing->MakeDir(at, 0700));
    made = true;
  }
  return made ? NoteAbove(dir) : Status::Ok();
}

Status Hydrator::Impl::NoteAbove(FileId dir) {
  while (dir != kRootFile) {
    DKFS_TRY_ASSIGN(const std::vector<LinkName> links, store->Links(dir));
    if (links.empty()) break;
    dir = links.front().parent;
    NoteTouched(dir);
  }
  return Status::Ok();
}

// H3.
Status Hydrator::Impl::MoveStrangersAside(FileId dir, const std::string& path) {
  DKFS_TRY_ASSIGN(const std::vector<Backing::Entry> there, backing->ListEntries(path));
  if (there.empty()) return Status::Ok();
  std::unordered_map<std::string, uint8_t> known;
  DKFS_TRY(store->List(dir, EntryId{}, kLatest, [&](EntryId, const EntryValue& value) {
    known.emplace(value.name, value.type);
    return true;
  }));
  for (const Backing::Entry& entry : there) {
    auto it = known.find(entry.name);
    if (it != known.end() && it->second == entry.type) continue;
    const std::string child = path.empty() ? entry.name : path + "/" + entry.name;
    Status moved = aside.MoveName(child);
    if (moved.code() != EBUSY) {
      DKFS_TRY(std::move(moved));
      continue;
    }
    Log(LogLevel::kWarn, "mount_point_in_directory", {{"path", child}, {"hint", "unmount it; dkfs does not show it"}});
  }
  return Status::Ok();
}

Status Hydrator::Impl::PrepareDirectoryOf(FileId dir) {
  ExclusiveLock t(tree);
  Result<InodeRef> ref = inodes->Get(dir);
  if (!ref.ok()) return ref.code() == ENOENT || ref.code() == ESTALE ? Status::Ok() : ref.status();
  Result<std::string> path = store->PathOf(dir);
  if (!path.ok()) return path.status().IsNotFound() ? Status::Ok() : path.status();
  return PrepareDirectory(**ref, *path);
}

Status Hydrator::Impl::ApplyAttributes(FileId file, const InodeState& state, const std::string& path) {
  DKFS_TRY(backing->ApplyOwnerAndMode(path, state));
  DKFS_TRY_ASSIGN(const auto wanted, store->ListXattrs(file));
  DKFS_TRY_ASSIGN(const auto there, backing->ListXattrs(path));
  bool changed = false;
  Status failed;
  for (const auto& pair : wanted) {
    if (std::find(there.begin(), there.end(), pair) != there.end()) continue;
    Status set = backing->SetXattr(path, pair.first, pair.second);
    if (!set.ok()) failed = set;
    changed = true;
  }
  for (const auto& [name, value] : there) {
    const bool known =
        std::any_of(wanted.begin(), wanted.end(), [&name = name](const auto& w) { return w.first == name; });
    if (known || name == "security.selinux") continue;  // a label is the host's, set when the file is made
    Status removed = backing->RemoveXattr(path, name);
    if (!removed.ok() && removed.code() != ENODATA) failed = removed;
    changed = true;
  }
  const int code = failed.code();
  if (code == EOPNOTSUPP || code == EPERM) {  // the mount shows them from the store
    if (!warned_xattr.exchange(true)) {
      Log(LogLevel::kWarn, "xattr_not_kept",
          {{"path", path},
           {"error", failed.ToString()},
           {"hint", "DIR's file system cannot hold all attributes; the mount can"}});
    }
  } else if (!failed.ok()) {
    return failed;
  }
  return changed ? backing->ApplyOwnerAndMode(path, state) : Status::Ok();  // an ACL changes mode bits
}

namespace {

Result<bool> IsSame(Backing& backing, const std::string& path, const struct stat& st, const InodeState& state) {
  if ((st.st_mode & S_IFMT) != (state.mode & S_IFMT)) return false;
  if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)) return st.st_rdev == state.rdev;
  if (!S_ISLNK(st.st_mode)) return true;
  DKFS_TRY_ASSIGN(const std::string target, backing.ReadLink(path));
  return target == state.symlink_target;
}

}  // namespace

Status Hydrator::Impl::MakeSpecial(Inode& inode) {
  const InodeState state = inode.state;
  DKFS_TRY_ASSIGN(const std::vector<Link> links, LinksOf(inode.id));
  if (inode.presence == Presence::kPresent || links.empty()) return Status::Ok();
  DKFS_TRY_ASSIGN(const bool trusted, FingerprintMatches(inode.id, links[0].path));
  if (trusted && !OwesAttributes(inode)) {
    inode.presence = Presence::kPresent;
    return Status::Ok();
  }
  std::unordered_map<uint64_t, nlink_t> own;  // backing inode -> how many of this inode's names it stands at
  for (const Link& link : links) {
    Result<struct stat> st = backing->Stat(link.path);
    if (st.ok()) ++own[st->st_ino];
  }
  std::vector<const Link*> missing;
  const Link* made = nullptr;
  uint64_t number = 0;
  for (const Link& link : links) {
    Result<struct stat> st = backing->Stat(link.path);
    if (!st.ok() && !st.status().IsNotFound()) return st.status();
    bool same = false;
    if (st.ok()) {
      DKFS_TRY_ASSIGN(same, IsSame(*backing, link.path, *st, state));
    }
    // One with further names, also where nobody sees them, is not this inode's alone (H4).
    same = same && (made == nullptr ? st->st_nlink == own[st->st_ino] : st->st_ino == number);
    if (same && made == nullptr) {
      made = &link;
      number = st->st_ino;
    }
    if (same) continue;
    if (st.ok()) DKFS_TRY(aside.MoveName(link.path));
    missing.push_back(&link);
  }
  for (const Link* link : missing) {
    if (made != nullptr)
      DKFS_TRY(backing->Link(made->path, link->path));
    else if (S_ISLNK(state.mode))
      DKFS_TRY(backing->MakeSymlink(state.symlink_target, link->path));
    else
      DKFS_TRY(backing->MakeNode(link->path, (state.mode & S_IFMT) | 0600, state.rdev));
    if (made == nullptr) made = link;
    NoteTouched(link->parent);
  }
  DKFS_TRY(ApplyAttributes(inode.id, state, made->path));
  inode.presence = Presence::kPresent;
  inode.times_dirty = true;
  NoteTouched(inode.id);
  return Status::Ok();
}

}  // namespace dkfs
