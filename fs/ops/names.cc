// Looking names up and making new ones.
#include <algorithm>

#include "fs/ops/acl.h"
#include "fs/ops/impl.h"
#include "store/base/fault.h"

namespace dkfs {

Result<Attr> FileSystem::Impl::LookupSelf(FileId file) {
  DKFS_TRY_ASSIGN(InodeRef ref, Get(file));
  SharedLock t(tree);
  {
    SharedLock l(ref->lock);
    if (ref->state.nlink == 0 && !inodes->KernelKnows(*ref)) return Status::Error(ENOENT);
  }
  return Answer(*ref);
}

Result<Attr> FileSystem::Lookup(FileId parent, std::string_view name) {
  Impl& fs = *impl_;
  if (name == ".") return fs.LookupSelf(parent);
  if (name == "..") {
    if (parent == kRootFile) return fs.LookupSelf(parent);
    DKFS_TRY_ASSIGN(const std::vector<LinkName> links, fs.store->Links(parent));
    return links.empty() ? Status::Error(ENOENT) : fs.LookupSelf(links.front().parent);
  }
  DKFS_TRY_ASSIGN(InodeRef dir, fs.Get(parent));
  if (name.size() > kMaxNameBytes) return Status::Error(ENAMETOOLONG);
  if (parent == kRootFile && name == kPartialDir) return Status::Error(ENOENT);
  Result<NameValue> found = Status::Error(ENOENT);
  {
    SharedLock t(fs.tree);
    found = fs.FindName(*dir, name);
    if (!found.ok()) return found.status();
    DKFS_TRY_ASSIGN(InodeRef child, fs.inodes->Get(found->child));
    DKFS_TRY_ASSIGN(const bool compared, fs.IsUnchanged(*child, *dir, name));
    if (compared) {
      child->SetHint(parent, name);
      return fs.Answer(*child);
    }
  }
  // Comparing may change names, this one too: it is looked up until it leads to what was compared.
  ExclusiveLock t(fs.tree);
  for (;;) {
    DKFS_TRY_ASSIGN(const NameValue before, fs.store->Lookup(parent, name));
    DKFS_TRY_ASSIGN(InodeRef child, fs.inodes->Get(before.child));
    child->SetHint(parent, name);
    DKFS_TRY(fs.GetLocked(before.child).status());
    DKFS_TRY_ASSIGN(const NameValue after, fs.store->Lookup(parent, name));
    if (after.child == before.child) return fs.Answer(*child);
  }
}

Result<Attr> FileSystem::LookupEntry(FileId parent, std::string_view name, FileId file) {
  Impl& fs = *impl_;
  DKFS_TRY_ASSIGN(InodeRef ref, fs.Get(file));
  SharedLock t(fs.tree);
  DKFS_TRY_ASSIGN(const NameValue found, fs.store->Lookup(parent, name));
  if (found.child != file) return Status::Error(ENOENT);
  ref->SetHint(parent, name);
  return fs.Answer(*ref);
}

Result<FileSystem::Impl::Inherited> FileSystem::Impl::Inherit(const Caller& caller, Inode& dir,
                                                              const InodeState& dir_state, const NewInode& spec) {
  Inherited made;
  InodeState& state = made.state;
  state.mode = spec.mode;
  state.uid = caller.uid;
  state.gid = caller.gid;
  if (dir_state.mode & S_ISGID) {
    state.gid = dir_state.gid;
    if (S_ISDIR(spec.mode)) state.mode |= S_ISGID;
  }
  state.nlink = S_ISDIR(spec.mode) ? 2 : 1;
  state.rdev = spec.rdev;
  state.symlink_target = spec.target;
  state.size = S_ISLNK(spec.mode) ? spec.target.size() : 0;
  state.atime = state.mtime = state.ctime = state.btime = WallNow();
  if (S_ISLNK(spec.mode)) return made;

  Result<std::string> acl = Xattr(dir, kAclDefault);
  if (!acl.ok()) {
    if (!acl.status().IsNotFound()) return acl.status();
    state.mode &= ~static_cast<uint32_t>(caller.umask);
    return made;
  }
  mode_t mode = state.mode;
  made.access_acl = AclInherit(*acl, &mode);
  state.mode = mode;
  if (AclIsTrivial(made.access_acl)) made.access_acl.clear();
  if (S_ISDIR(spec.mode)) made.default_acl = *acl;
  return made;
}

Status FileSystem::Impl::MakeBacking(const std::string& path, const NewInode& spec, const Inherited& made,
                                     UniqueFd* fd) {
  DKFS_TRY(Fault::Pass("ops.recorded"));
  DKFS_TRY(TakeSpace([&]() -> Status {
    switch (spec.mode & S_IFMT) {
      case S_IFREG: {
        // Nobody else comes here, so it may have its mode before its owner.
        DKFS_TRY_ASSIGN(*fd, backing->Open(path, O_RDWR | O_CREAT | O_EXCL, made.state.mode & 07777));
        return Status::Ok();
      }
      case S_IFDIR:
        return backing->MakeDir(path, 0700);
      case S_IFLNK:
        return backing->MakeSymlink(std::string(spec.target), path);
      default:
        return backing->MakeNode(path, (spec.mode & S_IFMT) | 0600, spec.rdev);
    }
  }));
  DKFS_TRY(fd->valid() ? backing->ApplyOwnerAndModeFd(fd->get(), path, made.state)
                       : backing->ApplyOwnerAndMode(path, made.state));
  if (!made.access_acl.empty()) DKFS_TRY(backing->SetXattr(path, kAclAccess, made.access_acl));
  if (!made.default_acl.empty()) DKFS_TRY(backing->SetXattr(path, kAclDefault, made.default_acl));
  return Status::Ok();
}

Result<Attr> FileSystem::Impl::Make(const Caller& caller, FileId parent, std::string_view name, const NewInode& spec) {
  DKFS_TRY(CheckNewName(parent, name));
  store->AwaitRoom();
  ExclusiveLock t(tree);
  DKFS_TRY_ASSIGN(InodeRef dir_ref, DirectoryForChange(parent));
  Inode& dir = *dir_ref;
  if (!IsKnownAbsent(dir, name)) {
    const Status found = store->Lookup(parent, name).status();
    if (!found.IsNotFound()) return found.ok() ? Status::Error(EEXIST) : found;
  }
  DKFS_TRY_ASSIGN(const std::string path, ChildPath(dir, name));

  InodeRef made_ref;
  {
    ExclusiveLock l(dir.lock);
    DKFS_TRY_ASSIGN(Inherited made, Inherit(caller, dir, dir.state, spec));
    InodeState dir_after = dir.state;
    dir_after.mtime = dir_after.ctime = made.state.ctime;
    if (S_ISDIR(spec.mode)) ++dir_after.nlink;
    if (S_ISREG(spec.mode) && options.layout_of_new) {
      if (auto layout = options.layout_of_new(path)) {
        made.state.block_shift = layout->block_shift;
        made.state.policy = layout->policy;
      }
    }
    const FileId file = store->NewFile();
    RecordBuilder record;
    record.SetRequest(caller.request);
    record.Inode(file, made.state);
    record.Name(parent, store->NewEntry(), name, file, DirentType(spec.mode));
    record.Inode(parent, dir_after);
    if (!made.access_acl.empty()) record.Xattr(file, kAclAccess, made.access_acl);
    if (!made.default_acl.empty()) record.Xattr(file, kAclDefault, made.default_acl);
    DKFS_TRY_ASSIGN(const Seq seq, store->Append(record));
    UniqueFd fd;
    if (Status s = MakeBacking(path, spec, made, &fd); !s.ok()) {
      if (s.code() != EEXIST) {
        (S_ISDIR(spec.mode) ? backing->RemoveDir(path) : backing->Unlink(path))
            .Ignore("half made; its record is voided");
        hydrator->NoteTouched(parent);
      }
      RecordBuilder undo;
      undo.Void(seq);
      DKFS_TRY(store->Append(undo).status());
      return Refused(s);
    }
    Publish(dir, dir_after, seq);
    made_ref = inodes->Add(file, made.state);
    Inode& child = *made_ref;
    ExclusiveLock cl(child.lock);
    child.presence = Presence::kPresent;
    child.compared = true;
    child.has_xattrs = made.access_acl.empty() && made.default_acl.empty() ? Inode::Known::kNo : Inode::Known::kYes;
    if (spec.open) child.backing = std::move(fd);
    Publish(child, made.state, seq);
  }
  made_ref->SetHint(parent, name);
  if (spec.open) NoteOpened(*made_ref);
  return Answer(*made_ref);
}

Result<Attr> FileSystem::Create(const Caller& caller, FileId parent, std::string_view name, mode_t mode) {
  impl_->CloseOldest();
  return impl_->Make(caller, parent, name, {.mode = S_IFREG | (mode & 07777), .rdev = 0, .target = {}, .open = true});
}

Result<Attr> FileSystem::MakeNode(const Caller& caller, FileId parent, std::string_view name, mode_t mode, dev_t rdev) {
  if ((mode & S_IFMT) == 0) mode |= S_IFREG;
  return impl_->Make(caller, parent, name, {.mode = mode, .rdev = rdev, .target = {}, .open = false});
}

Result<Attr> FileSystem::MakeDir(const Caller& caller, FileId parent, std::string_view name, mode_t mode) {
  return impl_->Make(caller, parent, name, {.mode = S_IFDIR | (mode & 07777), .rdev = 0, .target = {}, .open = false});
}

Result<Attr> FileSystem::MakeSymlink(const Caller& caller, FileId parent, std::string_view name,
                                     std::string_view target) {
  if (target.empty()) return Status::Error(ENOENT);
  if (target.size() >= PATH_MAX) return Status::Error(ENAMETOOLONG);
  return impl_->Make(caller, parent, name, {.mode = S_IFLNK | 0777, .rdev = 0, .target = target, .open = false});
}

Result<Attr> FileSystem::CreateTmpfile(const Caller& caller, FileId parent, mode_t mode) {
  Impl& fs = *impl_;
  fs.CloseOldest();
  fs.store->AwaitRoom();
  ExclusiveLock t(fs.tree);
  DKFS_TRY_ASSIGN(InodeRef dir_ref, fs.DirectoryForChange(parent));
  Inode& dir = *dir_ref;
  DKFS_TRY_ASSIGN(const std::string path, fs.PathOf(dir));
  Impl::Inherited made;
  {
    SharedLock l(dir.lock);
    const Impl::NewInode spec{.mode = S_IFREG | (mode & 07777), .rdev = 0, .target = {}, .open = true};
    DKFS_TRY_ASSIGN(made, fs.Inherit(caller, dir, dir.state, spec));
  }
  made.state.nlink = 0;
  DKFS_TRY_ASSIGN(UniqueFd fd, fs.backing->OpenTmpfile(path));
  fs.MakeRoom(&fd);
  if (fs.IsCrowded(fd.get())) return Status::Error(ENFILE, "too many files without a name are open");
  const FileId file = fs.store->NewFile();
  RecordBuilder record;
  record.SetRequest(caller.request);
  record.Inode(file, made.state);
  if (!made.access_acl.empty()) record.Xattr(file, kAclAccess, made.access_acl);
  DKFS_TRY_ASSIGN(const Seq seq, fs.store->Append(record));
  InodeRef ref = fs.inodes->Add(file, made.state);
  Inode& child = *ref;
  {
    ExclusiveLock l(child.lock);
    child.presence = Presence::kPresent;
    child.compared = true;
    child.backing = std::move(fd);
    fs.Publish(child, made.state, seq);
  }
  return fs.Answer(child);
}

Result<Attr> FileSystem::Link(const Caller& caller, FileId file, FileId new_parent, std::string_view new_name) {
  Impl& fs = *impl_;
  DKFS_TRY(fs.CheckNewName(new_parent, new_name));
  fs.store->AwaitRoom();
  ExclusiveLock t(fs.tree);
  DKFS_TRY_ASSIGN(InodeRef dir_ref, fs.DirectoryForChange(new_parent));
  DKFS_TRY_ASSIGN(InodeRef ref, fs.GetLocked(file));
  Inode& dir = *dir_ref;
  Inode& inode = *ref;
  const Status found = fs.store->Lookup(new_parent, new_name).status();
  if (!found.IsNotFound()) return found.ok() ? Status::Error(EEXIST) : found;
  DKFS_TRY_ASSIGN(const std::string path, fs.ChildPath(dir, new_name));
  Result<std::string> old_path = fs.PathOf(inode);
  {
    InodeLocks locks({&dir, &inode});
    DKFS_TRY(fs.LinkLocked(caller, dir, inode, new_name, old_path.ok() ? *old_path : std::string(), path));
  }
  inode.SetHint(new_parent, new_name);
  return fs.Answer(inode);
}

Status FileSystem::Impl::Name(Inode& inode, const InodeState& state, const std::string& path) {
  const int fd = inode.backing.get();
  DKFS_TRY(backing->ApplyOwnerAndModeFd(fd, path, state));
  DKFS_TRY_ASSIGN(auto all, store->ListXattrs(inode.id));
  for (auto& [name, value] : all) DKFS_TRY(backing->SetXattrFd(fd, name, value));
  return backing->LinkFd(fd, path);  // last: a name that the store does not know would stay in the way
}

Status FileSystem::Impl::LinkLocked(const Caller& caller, Inode& dir, Inode& inode, std::string_view name,
                                    const std::string& old_path, const std::string& path) NO_THREAD_SAFETY_ANALYSIS {
  if (IsDir(inode.state)) return Status::Error(EPERM);
  const bool tmpfile = inode.state.nlink == 0;
  if (tmpfile && !inode.backing.valid()) return Status::Error(ENOENT);
  InodeState after = inode.state, dir_after = dir.state;
  ++after.nlink;
  after.ctime = dir_after.mtime = dir_after.ctime = WallNow();
  RecordBuilder record;
  record.SetRequest(caller.request);
  record.Inode(inode.id, after);
  record.Name(dir.id, store->NewEntry(), name, inode.id, DirentType(after.mode));
  record.Inode(dir.id, dir_after);
  DKFS_TRY_ASSIGN(const Seq seq, store->Append(record));
  Status linked = Fault::Pass("ops.recorded");
  if (linked.ok() && tmpfile) {
    linked = Name(inode, after, path);
  } else if (linked.ok() && inode.presence != Presence::kPartial) {
    linked = backing->Link(old_path, path);
    // A backing file that hydration has not made yet gets all its names when it is.
    if (linked.IsNotFound() && inode.presence == Presence::kUnknown) linked = Status::Ok();
  }
  if (!linked.ok()) {
    RecordBuilder undo;
    undo.Void(seq);
    DKFS_TRY(store->Append(undo).status());
    return Refused(linked);
  }
  if (tmpfile) NoteOpened(inode);  // a name leads back to it now: it may be closed
  Publish(inode, after, seq);
  Publish(dir, dir_after, seq);
  return Status::Ok();
}

Result<std::string> FileSystem::ReadLink(FileId file) {
  DKFS_TRY_ASSIGN(InodeRef ref, impl_->Get(file));
  SharedLock l(ref->lock);
  if (!S_ISLNK(ref->state.mode)) return Status::Error(EINVAL);
  return ref->state.symlink_target;
}

Status FileSystem::ReadDir(FileId dir, uint64_t after, const std::function<bool(const DirEntry&)>& each) {
  Impl& fs = *impl_;
  DKFS_TRY_ASSIGN(InodeRef ref, fs.Get(dir));
  SharedLock t(fs.tree);
  {
    SharedLock l(ref->lock);
    if (!IsDir(ref->state)) return Status::Error(ENOTDIR);
  }
  // A listing ends where it stood when it was begun (or another was, since), or somebody who makes or renames an entry
  // for each one listed would never come to the end.
  if (after == 0) ref->listing_end.store(fs.store->NewEntry().value);
  FileId parent = dir;
  if (dir != kRootFile) {
    MutexLock h(ref->hint_mutex);
    if (ref->hint_parent) parent = ref->hint_parent;
  }
  if (after < 1 && !each({EntryId{1}, dir, ".", DT_DIR})) return Status::Ok();
  if (after < 2 && !each({EntryId{2}, parent, "..", DT_DIR})) return Status::Ok();
  const EntryId from{std::max<uint64_t>(after, kFirstEntry.value - 1)};
  const uint64_t end = ref->listing_end.load();
  return fs.store->List(dir, from, kLatest, [&](EntryId entry, const EntryValue& value) {
    return (end == 0 || entry.value < end) && each({entry, value.child, value.name, value.type});
  });
}

}  // namespace dkfs
