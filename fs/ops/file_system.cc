#include "fs/ops/file_system.h"

#include "fs/ops/impl.h"
#include "store/base/fault.h"
#include "store/base/log.h"

namespace dkfs {

FileSystem::FileSystem(Store* store, Backing* backing, InodeTable* inodes, Hydrator* hydrator, SharedMutex* tree_lock,
                       const FileSystemOptions& options, Drift* drift)
    : impl_(std::make_unique<Impl>(store, backing, inodes, hydrator, tree_lock, options, drift)) {
  inodes->SetEvictHook([impl = impl_.get()](Inode& inode) { impl->EndOrphan(inode); });
}
FileSystem::~FileSystem() { impl_->inodes->SetEvictHook(nullptr); }

void FileSystem::Begin() {
  Result<InodeRef> root = impl_->inodes->Get(kRootFile);
  if (root.ok()) impl_->inodes->CountLookup(**root);  // otherwise each request finds out for itself, and says so
}

bool FileSystem::Impl::IsCompared(Inode& inode) const {
  if (drift == nullptr) return true;
  SharedLock l(inode.lock);
  return inode.compared;
}

Result<InodeRef> FileSystem::Impl::Get(FileId file) {
  DKFS_TRY_ASSIGN(InodeRef ref, inodes->Get(file));
  if (IsCompared(*ref)) return ref;
  {
    SharedLock t(tree);
    DKFS_TRY_ASSIGN(const std::string path, PathOf(*ref));
    DKFS_TRY_ASSIGN(const bool unchanged, drift->IsUnchanged(*ref, path));
    if (unchanged) return ref;
  }
  ExclusiveLock t(tree);
  return GetLocked(file);
}

Result<bool> FileSystem::Impl::IsUnchanged(Inode& inode, const Inode& dir, std::string_view name) {
  if (IsCompared(inode)) return true;
  DKFS_TRY_ASSIGN(const std::string path, ChildPath(dir, name));
  return drift->IsUnchanged(inode, path);
}

Result<InodeRef> FileSystem::Impl::GetLocked(FileId file) {
  DKFS_TRY_ASSIGN(InodeRef ref, inodes->Get(file));
  if (IsCompared(*ref)) return ref;
  DKFS_TRY_ASSIGN(const std::string path, PathOf(*ref));
  DKFS_TRY(drift->Compare(*ref, path));
  return ref;
}

Result<InodeRef> FileSystem::Impl::DirectoryForChange(FileId file) {
  DKFS_TRY_ASSIGN(InodeRef ref, GetLocked(file));
  Inode& dir = *ref;
  {
    SharedLock l(dir.lock);
    if (!IsDir(dir.state)) return Status::Error(ENOTDIR);
    if (!dir.exists || dir.state.nlink == 0) return Status::Error(ENOENT);
    if (dir.presence == Presence::kPresent) return ref;
  }
  DKFS_TRY_ASSIGN(const std::string path, PathOf(dir));
  DKFS_TRY(hydrator->PrepareDirectory(dir, path));
  return ref;
}

Status FileSystem::Impl::CheckNewName(FileId parent, std::string_view name) const {
  if (name.size() > kMaxNameBytes) return Status::Error(ENAMETOOLONG);
  if (!IsValidName(name)) return Status::Error(EINVAL);
  if (parent == kRootFile && name == kPartialDir) return Status::Error(EPERM);
  return Status::Ok();
}

// Names come only under the exclusive tree lock, and a record that brings one is in the index before it is released.
Result<NameValue> FileSystem::Impl::FindName(Inode& dir, std::string_view name) {
  const Seq at = store->appended();
  Result<NameValue> found = store->Lookup(dir.id, name);
  if (!found.status().IsNotFound()) return found;
  MutexLock l(dir.hint_mutex);
  dir.absent_name = name;
  dir.absent_at = at;
  return found;
}

bool FileSystem::Impl::IsKnownAbsent(Inode& dir, std::string_view name) {
  MutexLock l(dir.hint_mutex);
  return dir.absent_at && dir.absent_at == store->appended() && dir.absent_name == name;
}

Result<std::string> FileSystem::Impl::PathOf(const Inode& inode) {
  std::string path;
  std::vector<std::string> names;
  for (FileId at = inode.id; at != kRootFile;) {
    InodeRef ref = inodes->Peek(at);
    FileId parent;
    std::string name;
    if (ref) {
      MutexLock l(ref->hint_mutex);
      parent = ref->hint_parent;
      name = ref->hint_name;
    }
    if (!parent) {  // not seen by name in this mount: ask the store for the rest of the way
      DKFS_TRY_ASSIGN(path, store->PathOf(at));
      break;
    }
    names.push_back(std::move(name));
    at = parent;
  }
  for (; !names.empty(); names.pop_back()) path += (path.empty() ? "" : "/") + names.back();
  return path;
}

Result<std::string> FileSystem::Impl::ChildPath(const Inode& dir, std::string_view name) {
  DKFS_TRY_ASSIGN(std::string path, PathOf(dir));
  if (!path.empty()) path += '/';
  path += name;
  return path;
}

Attr FileSystem::Impl::MakeAttr(Inode& inode) {
  Attr attr{inode.id, inode.state, (inode.state.size + 511) / 512};
  if (IsDir(inode.state)) attr.blocks = 8;
  if (!IsRegular(inode.state)) return attr;
  struct stat st;
  if (inode.backing.valid()) {
    if (fstat(inode.backing.get(), &st) == 0) attr.blocks = static_cast<uint64_t>(st.st_blocks);
  } else if (inode.presence == Presence::kPresent && inode.state.size > 0) {
    Result<std::string> path = PathOf(inode);
    if (!path.ok()) return attr;
    Result<struct stat> found = backing->Stat(*path);
    if (found.ok()) attr.blocks = static_cast<uint64_t>(found->st_blocks);
  }
  return attr;
}

Attr FileSystem::Impl::Answer(Inode& inode) {
  inodes->CountLookup(inode);
  SharedLock l(inode.lock);
  return MakeAttr(inode);
}

void FileSystem::Impl::Publish(Inode& inode, const InodeState& state, Seq seq) {
  Fault::Pass("ops.applied").Ignore("it is done: only kill and pause mean something here");
  inode.state = state;
  if (backing_error.load(std::memory_order_relaxed) != 0) backing_error.store(0);  // it takes changes again
  uint64_t before = inode.last_seq.load(std::memory_order_relaxed);
  while (before < seq.value && !inode.last_seq.compare_exchange_weak(before, seq.value)) {
  }
  if (!inode.times_dirty) {
    inode.times_dirty = true;
    hydrator->NoteTouched(inode.id);
  }
}

void FileSystem::Impl::FollowAttributes(Inode& inode) {
  Fault::Pass("ops.recorded").Ignore("as a refusal of the backing directory would be");
  if (inode.presence == Presence::kUnknown) return;  // hydration will carry them
  constexpr std::string_view kLater = "the store holds the truth; written again with the fingerprint";
  if (inode.backing.valid()) {
    return backing->ApplyOwnerAndModeFd(inode.backing.get(), "an open file", inode.state).Ignore(kLater);
  }
  std::string path = Backing::PartialPath(inode.id);
  if (inode.presence == Presence::kPresent) {
    Result<std::string> found = PathOf(inode);
    if (!found.ok()) return;  // an orphan has no name to carry them
    path = *found;
  }
  backing->ApplyOwnerAndMode(path, inode.state).Ignore(kLater);
}

Result<std::string> FileSystem::PathOf(const Inode& inode) NO_THREAD_SAFETY_ANALYSIS { return impl_->PathOf(inode); }

Status FileSystem::WithContent(FileId file, const std::function<Status(Inode&)>& body) {
  return impl_->WithContent(file, body);
}

int FileSystem::backing_error() const { return impl_->backing_error.load(std::memory_order_relaxed); }

Status FileSystem::Impl::Refused(const Status& error) {
  static constexpr int kOfTheDisk[] = {ENOSPC, EDQUOT, EROFS, EIO};
  const bool disk = std::find(std::begin(kOfTheDisk), std::end(kOfTheDisk), error.code()) != std::end(kOfTheDisk);
  if (disk && backing_error.exchange(error.code()) != error.code()) {
    Log(LogLevel::kWarn, "backing_refuses",
        {{"dir", backing->display()},
         {"error", error.ToString()},
         {"hint", "free space or mend the disk under the mount point"}});
  }
  return error;
}

Status FileSystem::CompareAll(const std::function<bool()>& cancel) {
  if (impl_->drift == nullptr) return Status::Ok();
  std::vector<FileId> files;
  DKFS_TRY(impl_->store->EachInode(kLatest, [&](FileId file, const InodeState& state) {
    if (state.nlink > 0) files.push_back(file);
    return true;
  }));
  for (FileId file : files) {
    if (cancel()) return Status::Error(ECANCELED);
    impl_->store->AwaitRoom();
    const Status s = impl_->Get(file).status();
    if (!s.ok() && !s.IsNotFound() && s.code() != ESTALE) return s;
  }
  return Status::Ok();
}

Result<struct statvfs> FileSystem::StatFs() { return impl_->backing->StatFs(); }

void FileSystem::Forget(FileId file, uint64_t count) { impl_->inodes->Forget(file, count); }

}  // namespace dkfs
