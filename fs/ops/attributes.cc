// Attributes: stat, chmod, chown, utimens, truncate by size.
#include <stdio.h>

#include <algorithm>
#include <memory>
#include <sstream>

#include "fs/ops/acl.h"
#include "fs/ops/impl.h"

namespace dkfs {

namespace {

// The kernel hands over one group of the caller; the others stand in /proc. A caller that is gone is no member.
bool IsMember(const Caller& caller, gid_t group) {
  if (caller.uid == 0 || caller.gid == group) return true;
  const std::string path = "/proc/" + std::to_string(caller.pid) + "/status";
  std::unique_ptr<FILE, int (*)(FILE*)> file(fopen(path.c_str(), "re"), fclose);
  constexpr std::string_view kGroups = "Groups:";
  std::string line;
  for (int c; file && (c = getc(file.get())) != EOF;) {
    if (c != '\n') {
      line.push_back(static_cast<char>(c));
      continue;
    }
    if (line.starts_with(kGroups)) break;
    line.clear();
  }
  if (!line.starts_with(kGroups)) return false;
  std::istringstream groups(line.substr(kGroups.size()));
  for (gid_t each; groups >> each;) {
    if (each == group) return true;
  }
  return false;
}

}  // namespace

void KillSuidSgid(const Caller& caller, InodeState* state) {
  state->mode &= ~uint32_t{S_ISUID};
  if (!(state->mode & S_ISGID)) return;
  if ((state->mode & S_IXGRP) || !IsMember(caller, state->gid)) state->mode &= ~uint32_t{S_ISGID};
}

void FileSystem::Impl::FollowMode(Inode& inode, const InodeState& after) {
  if (after.mode == inode.state.mode || fchmod(inode.backing.get(), after.mode & 07777) == 0) return;
  Status::FromErrno("chmod of the backing file")
      .Ignore("the store holds the truth; written again with the fingerprint");
}

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

// The times that ext4 can keep: from 1901-12-13 to 2446-05-10, cut as the kernel's timestamp_truncate does. FUSE itself
// knows no limits.
TimeSpec Clamped(const TimeSpec& t) {
  constexpr int64_t kFirst = -(int64_t{1} << 31), kLast = (int64_t{1} << 34) - (int64_t{1} << 31) - 1;
  if (t.sec > kFirst && t.sec < kLast) return t;
  return {std::clamp(t.sec, kFirst, kLast), 0};
}

// Everything of a request but the size.
void Apply(const Caller& caller, const SetAttrRequest& request, const TimeSpec& now, InodeState* state) {
  if (request.kill_suidgid) KillSuidSgid(caller, state);
  if (request.mode) state->mode = (state->mode & S_IFMT) | (*request.mode & 07777);
  if (request.uid) state->uid = *request.uid;
  if (request.gid) state->gid = *request.gid;
  if (request.atime_now) state->atime = now;
  if (request.mtime_now) state->mtime = now;
  if (request.atime) state->atime = Clamped(*request.atime);
  if (request.mtime) state->mtime = Clamped(*request.mtime);
  state->ctime = request.ctime ? *request.ctime : now;
}

// Nothing but perhaps the ctime of the change, which a kernel with the writeback cache sends along.
bool ChangesNothing(const SetAttrRequest& r) {
  return !r.mode && !r.uid && !r.gid && !r.size && !r.atime && !r.mtime && !r.atime_now && !r.mtime_now &&
         !r.kill_suidgid;
}

// A request that names nothing, of a file with set-id bits, is what the kernel makes of "take them away": chown(-1, -1)
// by anybody, or an allocation by somebody who may write (which takes them away itself). True: let them go.
bool MayTakeSetIdBits(const Caller& caller, const InodeState& state) {
  return caller.uid == 0 || caller.uid == state.uid;
}

}  // namespace

bool FileSystem::Impl::Grows(FileId file, uint64_t size) {
  const InodeRef ref = inodes->Peek(file);
  if (!ref) return false;
  SharedLock l(ref->lock);
  return size > ref->state.size;
}

Result<Attr> FileSystem::SetAttr(const Caller& caller, FileId file, const SetAttrRequest& request) {
  Impl& fs = *impl_;
  const bool grows = request.size && fs.Grows(file, *request.size);
  if (!request.size || grows) fs.store->AwaitRoom();
  if (request.size) {
    if (InodeRef ref = grows ? InodeRef() : fs.inodes->Peek(file)) DKFS_TRY(fs.SecureInPieces(*ref));
    const Status resized = fs.WithContent(file, [&](Inode& inode) NO_THREAD_SAFETY_ANALYSIS -> Status {
      if (*request.size < inode.state.size) DKFS_TRY(fs.SecureAll(inode));
      InodeState after = inode.state;
      after.mtime = WallNow();
      Apply(caller, request, after.mtime, &after);
      after.size = *request.size;
      return fs.Truncate(caller, inode, after);
    });
    if (!resized.ok()) return resized;
    return GetAttr(file);
  }
  DKFS_TRY_ASSIGN(InodeRef ref, fs.Get(file));
  Inode& inode = *ref;
  SharedLock t(fs.tree);
  ExclusiveLock l(inode.lock);
  InodeState after = inode.state;
  SetAttrRequest wanted = request;
  if (!IsDir(after) && (after.mode & (S_ISUID | S_ISGID)) && ChangesNothing(request)) {
    if (!MayTakeSetIdBits(caller, after))
      return IsRegular(after) ? fs.MakeAttr(inode) : Result<Attr>(Status::Error(EPERM));
    wanted.kill_suidgid = true;
  }
  Apply(caller, wanted, WallNow(), &after);
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
  if (!acl.empty() && !fs.FollowXattr(inode, kAclAccess, &acl).ok()) fs.hydrator->NoteXattrs(file);
  return fs.MakeAttr(inode);
}

}  // namespace dkfs
