// Attributes: stat, chmod, chown, utimens, truncate by size.
#include "fs/ops/acl.h"
#include "fs/ops/impl.h"

namespace dkfs {

Result<Attr> FileSystem::GetAttr(FileId file) {
  DKFS_TRY_ASSIGN(InodeRef ref, impl_->Get(file));
  Inode& inode = *ref;
  SharedLock t(impl_->tree);
  SharedLock l(inode.lock);
  return impl_->MakeAttr(inode);
}

uint32_t FileSystem::CachedMode(FileId file) {
  InodeRef ref = impl_->inodes->Peek(file);
  if (!ref) return 0;
  Inode& inode = *ref;
  SharedLock l(inode.lock);
  return inode.state.mode;
}

namespace {

// Everything of a request but the size.
void Apply(const SetAttrRequest& request, const TimeSpec& now, InodeState* state) {
  if (request.kill_suidgid) KillSuidSgid(state);
  if (request.mode) state->mode = (state->mode & S_IFMT) | (*request.mode & 07777);
  if (request.uid) state->uid = *request.uid;
  if (request.gid) state->gid = *request.gid;
  if (request.atime_now) state->atime = now;
  if (request.mtime_now) state->mtime = now;
  if (request.atime) state->atime = *request.atime;
  if (request.mtime) state->mtime = *request.mtime;
  state->ctime = request.ctime ? *request.ctime : now;
}

}  // namespace

Result<Attr> FileSystem::SetAttr(const Caller& caller, FileId file, const SetAttrRequest& request) {
  Impl& fs = *impl_;
  if (request.size) {
    const Status resized = fs.WithContent(file, [&](Inode& inode) NO_THREAD_SAFETY_ANALYSIS -> Status {
      if (*request.size < inode.state.size) DKFS_TRY(fs.SecureAll(inode));
      InodeState after = inode.state;
      after.mtime = WallNow();
      Apply(request, after.mtime, &after);
      after.size = *request.size;
      Status done = fs.Truncate(caller, inode, after);
      if (inode.opens.load() == 0 && inode.state.nlink > 0) inode.backing.reset();
      return done;
    });
    if (!resized.ok()) return resized;
    return GetAttr(file);
  }
  DKFS_TRY_ASSIGN(InodeRef ref, fs.Get(file));
  Inode& inode = *ref;
  SharedLock t(fs.tree);
  ExclusiveLock l(inode.lock);
  InodeState after = inode.state;
  Apply(request, WallNow(), &after);
  RecordBuilder record;
  record.SetRequest(caller.request);
  record.Inode(file, after);
  std::string acl;
  if (request.mode && !S_ISLNK(after.mode)) {
    Result<std::string> before = fs.store->GetXattr(file, kAclAccess);
    if (before.ok()) {
      acl = AclAfterChmod(*before, after.mode);
      record.Xattr(file, kAclAccess, acl);
    } else if (!before.status().IsNotFound()) {
      return before.status();
    }
  }
  DKFS_TRY_ASSIGN(const Seq seq, fs.store->Append(record));
  const bool visible = after.mode != inode.state.mode || after.uid != inode.state.uid || after.gid != inode.state.gid;
  fs.Publish(inode, after, seq);
  if (visible) fs.FollowAttributes(inode);
  if (!acl.empty()) fs.FollowXattr(inode, kAclAccess, &acl).Ignore("the store holds the truth");
  return fs.MakeAttr(inode);
}

}  // namespace dkfs
