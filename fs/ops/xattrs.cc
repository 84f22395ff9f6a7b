// Extended attributes, POSIX ACLs among them.
#include <sys/xattr.h>

#include "fs/ops/acl.h"
#include "fs/ops/impl.h"
#include "store/base/fault.h"

namespace dkfs {
namespace {

constexpr std::string_view kCapability = "security.capability";
// Of one inode. The kernel lists no more than 64 KiB of names, with dkfs's own and a label that only DIR has; a list
// that it refuses (E2BIG) would make the inode one that can neither be adopted nor restored.
constexpr size_t kMostNameBytes = 60 * 1024;
constexpr size_t kMostValueBytes = 1 << 20;

bool IsOurs(std::string_view name) { return name.starts_with("trusted.dkfs.") || name.starts_with("user.dkfs."); }

// EOPNOTSUPP for a namespace that there is not. (FUSE hands over any name, unlike ext4's own handlers.)
Status CheckNamespace(std::string_view name) {
  for (std::string_view prefix : {"user.", "trusted.", "security."}) {
    if (name.starts_with(prefix)) return name.size() > prefix.size() ? Status::Ok() : Status::Error(EINVAL);
  }
  return name == kAclAccess || name == kAclDefault ? Status::Ok() : Status::Error(EOPNOTSUPP);
}

Status CheckXattrName(std::string_view name) {
  if (name.size() > kMaxNameBytes) return Status::Error(ERANGE);
  if (IsOurs(name)) return Status::Error(EPERM);
  return CheckNamespace(name);
}

// ENOSPC: the inode would have more than it may. What came by adoption may be more already, and get smaller.
Status CheckRoom(Store* store, FileId file, std::string_view name, std::string_view value) {
  DKFS_TRY_ASSIGN(const auto all, store->ListXattrs(file));
  size_t names = name.size() + 1, values = value.size();
  for (const auto& [other, held] : all) {
    if (other == name && value.size() <= held.size()) return Status::Ok();
    if (other == name) continue;
    names += other.size() + 1;
    values += held.size();
  }
  return names <= kMostNameBytes && values <= kMostValueBytes ? Status::Ok() : Status::Error(ENOSPC);
}

}  // namespace

// The backing entry of a hydrated inode gets (or with null loses) the attribute; that of any other later.
Status FileSystem::Impl::FollowXattr(Inode& inode, std::string_view name, const std::string* value) {
  DKFS_TRY(Fault::Pass("ops.recorded"));
  if (inode.presence == Presence::kUnknown) {  // it may yet be taken as it stands
    hydrator->NoteXattrs(inode.id);
    return Status::Ok();
  }
  const int fd = inode.backing.get();
  const bool unnamed = inode.state.nlink == 0;  // it may get a name yet, if it never had one, and must not fail then
  if (unnamed && fd < 0) return Status::Ok();
  std::string path = Backing::PartialPath(inode.id);
  if (!unnamed && inode.presence == Presence::kPresent) {
    DKFS_TRY_ASSIGN(path, PathOf(inode));
  }
  if (value != nullptr) return unnamed ? backing->SetXattrFd(fd, name, *value) : backing->SetXattr(path, name, *value);
  Status s = unnamed ? backing->RemoveXattrFd(fd, name) : backing->RemoveXattr(path, name);
  return s.code() == ENODATA ? Status::Ok() : s;
}

void FileSystem::Impl::PrepareForXattrs(FileId file) {
  constexpr std::string_view kLater = "hydration meets it again";
  Result<InodeRef> ref = Get(file);
  if (!ref.ok()) return;
  bool is_dir;
  {
    SharedLock l((*ref)->lock);
    is_dir = IsDir((*ref)->state);
    if ((*ref)->presence != Presence::kUnknown || (!is_dir && !IsRegular((*ref)->state))) return;
  }
  if (!is_dir) return WithContent(file, [](Inode&) { return Status::Ok(); }).Ignore(kLater);
  ExclusiveLock t(tree);
  DirectoryForChange(file).status().Ignore(kLater);
}

Result<std::string> FileSystem::Impl::Xattr(Inode& inode, std::string_view name) {
  if (inode.has_xattrs == Inode::Known::kUnknown) {
    DKFS_TRY_ASSIGN(const auto all, store->ListXattrs(inode.id));
    inode.has_xattrs = all.empty() ? Inode::Known::kNo : Inode::Known::kYes;
  }
  if (inode.has_xattrs == Inode::Known::kNo) return Status::Error(ENOENT);
  return store->GetXattr(inode.id, name);
}

Result<std::string> FileSystem::GetXattr(FileId file, std::string_view name) {
  if (IsOurs(name)) return Status::Error(ENODATA);
  DKFS_TRY(CheckNamespace(name));
  DKFS_TRY_ASSIGN(InodeRef ref, impl_->Get(file));
  SharedLock l(ref->lock);
  Result<std::string> value = impl_->Xattr(*ref, name);
  if (!value.ok() && value.status().IsNotFound()) return Status::Error(ENODATA);
  return value;
}

Result<std::vector<std::string>> FileSystem::ListXattrs(const Caller& caller, FileId file) {
  DKFS_TRY_ASSIGN(InodeRef ref, impl_->Get(file));
  DKFS_TRY_ASSIGN(auto all, impl_->store->ListXattrs(file));
  std::vector<std::string> names;
  for (auto& [name, value] : all) {
    if (caller.uid != 0 && name.starts_with("trusted.")) continue;
    names.push_back(std::move(name));
  }
  return names;
}

Status FileSystem::SetXattr(const Caller& caller, FileId file, std::string_view name, std::string_view value, int flags,
                            bool acl_kill_sgid) {
  Impl& fs = *impl_;
  DKFS_TRY(CheckXattrName(name));
  if (value.size() > kMaxXattrBytes) return Status::Error(E2BIG);
  fs.store->AwaitRoom();
  fs.PrepareForXattrs(file);
  DKFS_TRY_ASSIGN(InodeRef ref, fs.Get(file));
  Inode& inode = *ref;
  SharedLock t(fs.tree);
  ExclusiveLock l(inode.lock);
  const Status there = fs.store->GetXattr(file, name).status();
  if (!there.ok() && !there.IsNotFound()) return there;
  if (there.ok() && flags == XATTR_CREATE) return Status::Error(EEXIST);
  if (!there.ok() && flags == XATTR_REPLACE) return Status::Error(ENODATA);

  InodeState after = inode.state;
  after.ctime = WallNow();
  bool store_it = true;
  if (name == kAclAccess || name == kAclDefault) {
    if (S_ISLNK(after.mode)) return Status::Error(EOPNOTSUPP);
    DKFS_TRY(AclCheck(value));
    if (name == kAclDefault && !IsDir(after)) return Status::Error(EACCES);
    if (name == kAclAccess) {
      after.mode = AclToMode(value, after.mode);
      if (acl_kill_sgid) after.mode &= ~uint32_t{S_ISGID};
      store_it = !AclIsTrivial(value);
    }
  }
  if (store_it && inode.has_xattrs != Inode::Known::kNo) DKFS_TRY(CheckRoom(fs.store, file, name, value));
  RecordBuilder record;
  record.SetRequest(caller.request);
  record.Inode(file, after);
  if (store_it) record.Xattr(file, name, value);
  if (!store_it && there.ok()) record.XattrGone(file, name);
  if (store_it) inode.has_xattrs = Inode::Known::kYes;
  DKFS_TRY_ASSIGN(const Seq seq, fs.store->Append(record));
  const std::string text(value);
  if (Status s = fs.FollowXattr(inode, name, &text); !s.ok()) {  // e.g. ENOSPC: too much for the backing file system
    RecordBuilder undo;
    undo.Void(seq);
    DKFS_TRY(fs.store->Append(undo).status());
    return s;
  }
  if (name == kCapability) inode.has_capability = Inode::Known::kYes;
  const bool mode_changed = after.mode != inode.state.mode;
  fs.Publish(inode, after, seq);
  if (mode_changed) fs.FollowAttributes(inode);
  return Status::Ok();
}

Status FileSystem::RemoveXattr(const Caller& caller, FileId file, std::string_view name) {
  Impl& fs = *impl_;
  DKFS_TRY(CheckXattrName(name));
  DKFS_TRY_ASSIGN(InodeRef ref, fs.Get(file));
  Inode& inode = *ref;
  SharedLock t(fs.tree);
  ExclusiveLock l(inode.lock);
  const Status there = fs.store->GetXattr(file, name).status();
  if (there.IsNotFound()) return name == kAclAccess || name == kAclDefault ? Status::Ok() : Status::Error(ENODATA);
  DKFS_TRY(there);
  InodeState after = inode.state;
  after.ctime = WallNow();
  RecordBuilder record;
  record.SetRequest(caller.request);
  record.Inode(file, after);
  record.XattrGone(file, name);
  DKFS_TRY_ASSIGN(const Seq seq, fs.store->Append(record));
  if (!fs.FollowXattr(inode, name, nullptr).ok()) fs.hydrator->NoteXattrs(file);
  if (name == kCapability) inode.has_capability = Inode::Known::kNo;
  fs.Publish(inode, after, seq);
  return Status::Ok();
}

Status FileSystem::Impl::DropCapability(Inode& inode) {
  if (inode.has_capability == Inode::Known::kNo) return Status::Ok();
  const Status there = store->GetXattr(inode.id, kCapability).status();
  inode.has_capability = Inode::Known::kNo;
  if (there.IsNotFound()) return Status::Ok();
  DKFS_TRY(there);
  RecordBuilder record;
  record.XattrGone(inode.id, kCapability);
  DKFS_TRY(store->Append(record).status());
  hydrator->NoteTouched(inode.id);  // the write may yet fail
  Status removed = backing->RemoveXattrFd(inode.backing.get(), kCapability);
  if (removed.ok() || removed.code() == ENODATA) return Status::Ok();
  hydrator->NoteXattrs(inode.id);
  return removed;
}

}  // namespace dkfs
