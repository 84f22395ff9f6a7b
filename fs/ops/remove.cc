// Names that end: unlink and rmdir, and what becomes of an inode without names.
#include "fs/ops/impl.h"
#include "store/base/fault.h"
#include "store/base/log.h"

namespace dkfs {

InodeState FileSystem::Impl::LoseName(Inode& inode, const TimeSpec& now, RecordBuilder* record) {
  InodeState after = inode.state;
  after.ctime = now;
  after.nlink = IsDir(after) || after.nlink == 0 ? 0 : after.nlink - 1;
  if (after.nlink > 0 || (IsRegular(after) && inodes->KernelKnows(inode))) {
    record->Inode(inode.id, after);  // without links: an orphan, until the kernel forgets it
  } else {
    record->InodeGone(inode.id);
  }
  return after;
}

// Best effort, and only what is cheap: without a descriptor the content of an orphan is made again from the store.
void FileSystem::Impl::KeepReachable(Inode& inode, const std::string& path) {
  if (!IsRegular(inode.state) || inode.backing.valid() || inode.state.nlink > 1) return;
  if (inode.presence != Presence::kPresent || inode.state.size == 0) return;
  Result<UniqueFd> fd = backing->Open(path, O_RDWR);
  if (!fd.ok()) return;
  inode.backing = std::move(fd).value();
  inode.backing_read_only = false;
  NoteOpened(inode);  // closed like any other should the removal fail
}

void FileSystem::Impl::DropPartial(FileId file) {
  backing->Unlink(Backing::PartialPath(file)).Ignore("may not be there; the background pass removes what stays");
}

void FileSystem::Impl::AfterLastName(Inode& inode) {
  if (inode.state.nlink > 0) return;
  if (IsRegular(inode.state) && inode.presence != Presence::kPresent) DropPartial(inode.id);
  if (inode.backing.valid()) freed_ns.store(MonotonicNs(), std::memory_order_relaxed);
  if (IsRegular(inode.state) && !inode.backing.valid()) hydrator->MarkUnknown(inode);
  inodes->ForgetPresent(inode.id);
}

void FileSystem::Impl::EndOrphan(Inode& inode) {
  ExclusiveLock l(inode.lock);
  if (!inode.loaded || !inode.exists || inode.state.nlink > 0 || !IsRegular(inode.state)) return;
  inode.exists = false;
  inode.backing.reset();
  freed_ns.store(MonotonicNs(), std::memory_order_relaxed);
  if (inode.presence == Presence::kPartial) DropPartial(inode.id);
  RecordBuilder record;
  record.SetUrgent();
  record.InodeGone(inode.id);
  store->Append(record).status().Ignore("an orphan left behind is removed when the store is mounted next");
}

Status FileSystem::EndOrphans(Seq before, const std::function<bool()>& cancel) {
  Impl& fs = *impl_;
  std::vector<FileId> orphans;
  DKFS_TRY(fs.store->EachInode(before, [&](FileId file, const InodeState& state) {
    if (state.nlink == 0) orphans.push_back(file);
    return !cancel();
  }));
  for (FileId file : orphans) {
    if (cancel()) return Status::Error(ECANCELED);
    DKFS_TRY_ASSIGN(const std::vector<LinkName> links, fs.store->Links(file, before));
    if (!links.empty()) continue;  // a count that is wrong is for verify to tell
    fs.DropPartial(file);
    RecordBuilder record;
    record.SetUrgent();
    record.InodeGone(file);
    DKFS_TRY(fs.store->Append(record).status());
  }
  if (!orphans.empty()) Log(LogLevel::kInfo, "orphans_ended", {{"inodes", static_cast<uint64_t>(orphans.size())}});
  return Status::Ok();
}

Status FileSystem::Impl::SecureAll(Inode& inode) {
  if (inode.state.content != ContentState::kAdopting) return SyncAdopted(inode);
  DKFS_TRY(capture.Secure(inode, 0, kEndOfFile));
  if (inode.believed_bytes < inode.state.adopted_size)
    return SyncAdopted(inode);  // the rest is lost: an error for ever
  InodeState after;
  DKFS_TRY_ASSIGN(const Seq seq, capture.Conclude(inode, &after));
  Publish(inode, after, seq);
  return SyncAdopted(inode);
}

Status FileSystem::Impl::SyncAdoptedTo(Inode& inode, Seq seq) {
  DKFS_TRY(store->Sync(seq));
  inode.adopted_seq = 0;
  return Status::Ok();
}

Status FileSystem::Impl::SecureBefore(NameChange change, FileId parent, std::string_view name) {
  if (change == NameChange::kRename && backing->knows_birth_times()) return Status::Ok();
  Result<NameValue> found = store->Lookup(parent, name);
  if (!found.ok()) return Status::Ok();  // the operation itself finds out and says so
  Result<InodeRef> ref = Get(found->child);
  if (!ref.ok()) return Status::Ok();
  Inode& inode = **ref;
  {
    ExclusiveLock l(inode.lock);
    if (change == NameChange::kRename && !hydrator->OwesAttributes(inode)) return Status::Ok();
    if (inode.state.content != ContentState::kAdopting) return SyncAdopted(inode);
  }
  return SecureInPieces(inode);
}

// Readers and writers of a long file come in between.
Status FileSystem::Impl::SecureInPieces(Inode& inode) {
  uint64_t next = 0;
  for (bool more = true; more;) {
    {
      SharedLock l(inode.lock);
      if (inode.state.content != ContentState::kAdopting) return Status::Ok();
    }
    store->AwaitRoom();
    DKFS_TRY(WithContent(inode.id, [&](Inode& i) NO_THREAD_SAFETY_ANALYSIS -> Status {
      DKFS_TRY_ASSIGN(more, capture.SecureSome(i, &next));
      return more ? Status::Ok() : SecureAll(i);
    }));
  }
  return Status::Ok();
}

Status FileSystem::Impl::SecureLate(Inode& inode) {
  ExclusiveLock l(inode.lock);
  if (!IsRegular(inode.state)) return Status::Ok();
  if (inode.state.content == ContentState::kAdopting) DKFS_TRY(OpenBacking(inode));
  return SecureAll(inode);
}

Status FileSystem::Impl::Remove(const Caller& caller, FileId parent, std::string_view name, bool directory) {
  if (name.size() > kMaxNameBytes) return Status::Error(ENAMETOOLONG);
  if (parent == kRootFile && name == kPartialDir) return Status::Error(ENOENT);
  if (!directory) DKFS_TRY(SecureBefore(NameChange::kRemoval, parent, name));
  ExclusiveLock t(tree);
  DKFS_TRY_ASSIGN(InodeRef dir_ref, DirectoryForChange(parent));
  DKFS_TRY_ASSIGN(const NameValue value, store->Lookup(parent, name));
  DKFS_TRY_ASSIGN(InodeRef child_ref, GetLocked(value.child));
  const bool is_dir = value.type == DT_DIR;
  if (directory && !is_dir) return Status::Error(ENOTDIR);
  if (!directory && is_dir) return Status::Error(EISDIR);
  if (directory) {
    DKFS_TRY_ASSIGN(const bool empty, store->IsEmptyDir(value.child));
    if (!empty) return Status::Error(ENOTEMPTY);
    DKFS_TRY(DirectoryForChange(value.child).status());  // what the store does not know goes aside first
  }
  DKFS_TRY_ASSIGN(const std::string path, ChildPath(*dir_ref, name));
  DKFS_TRY(SecureLate(*child_ref));
  InodeLocks locks({dir_ref.get(), child_ref.get()});
  return RemoveLocked(caller, *dir_ref, *child_ref, value.entry, name, path);
}

Status FileSystem::Impl::RemoveLocked(const Caller& caller, Inode& dir, Inode& child, EntryId entry,
                                      std::string_view name, const std::string& path) NO_THREAD_SAFETY_ANALYSIS {
  const bool is_dir = IsDir(child.state);
  KeepReachable(child, path);
  InodeState dir_after = dir.state;
  dir_after.mtime = dir_after.ctime = WallNow();
  if (is_dir && dir_after.nlink > 2) --dir_after.nlink;
  RecordBuilder record;
  record.SetRequest(caller.request);
  record.SetUrgent();
  record.NameGone(dir.id, entry, name);
  const InodeState child_after = LoseName(child, dir_after.ctime, &record);
  record.Inode(dir.id, dir_after);
  DKFS_TRY_ASSIGN(const Seq seq, store->Append(record));
  Status removed = Fault::Pass("ops.recorded");
  if (removed.ok()) removed = is_dir ? backing->RemoveDir(path) : backing->Unlink(path);
  if (!removed.ok() && !removed.IsNotFound()) {
    RecordBuilder undo;
    undo.Void(seq);
    DKFS_TRY(store->Append(undo).status());
    return Refused(removed);
  }
  Publish(child, child_after, seq);
  child.DropHint(dir.id, name);
  Publish(dir, dir_after, seq);
  AfterLastName(child);
  return Status::Ok();
}

Status FileSystem::Unlink(const Caller& caller, FileId parent, std::string_view name) {
  return impl_->Remove(caller, parent, name, false);
}

Status FileSystem::RemoveDir(const Caller& caller, FileId parent, std::string_view name) {
  return impl_->Remove(caller, parent, name, true);
}

}  // namespace dkfs
