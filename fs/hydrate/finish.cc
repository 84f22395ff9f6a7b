// The end of a mount: the backing directory becomes complete, ordinary and recognisable.
#include <stdlib.h>

#include "fs/hydrate/impl.h"
#include "store/base/log.h"

namespace dkfs {
namespace {

constexpr size_t kPrintBatch = 1024;

TimeSpec MtimeOf(const struct stat& st) { return {st.st_mtim.tv_sec, static_cast<uint32_t>(st.st_mtim.tv_nsec)}; }

// "00000000002a", or what stands beside it; 0 when it is neither.
FileId ParsePartialName(const std::string& name) {
  if (name.size() < 12 || name.substr(0, 12).find_first_not_of("0123456789abcdef") != std::string::npos)
    return FileId{};
  const std::string rest = name.substr(12);
  if (!rest.empty() && rest != ".lost" && rest != ".lost.tmp" && rest != ".copy") return FileId{};
  return FileId{::strtoull(name.substr(0, 12).c_str(), nullptr, 16)};
}

}  // namespace

Status Hydrator::Impl::Finish(const std::function<bool()>& cancel) {
  Stop();
  DKFS_TRY_ASSIGN(const Plan plan, MakePlan());
  Status ran = RunPlan(plan, Haste::kFull, cancel);
  if (ran.code() == ECANCELED) return ran;
  Status swept = SweepPartial();
  if (swept.code() != EAGAIN) DKFS_TRY(swept);
  DKFS_TRY(backing->RemovePartialDirIfEmpty());
  NoteTouched(kRootFile);  // the partial directory came and went in it
  DKFS_TRY(WriteTimesAndFingerprints());
  DKFS_TRY(std::move(ran));
  DKFS_TRY(std::move(swept));
  MutexLock l(mutex);
  counts.done = true;
  return Status::Ok();
}

// What a crash left behind in .dkfs-partial.
Status Hydrator::Impl::SweepPartial() {
  ExclusiveLock t(tree);
  Result<std::vector<std::string>> names = backing->List(std::string(kPartialDir));
  if (!names.ok()) return names.status().IsNotFound() ? Status::Ok() : names.status();
  Status incomplete;
  for (const std::string& name : *names) {
    if (name == "aside") continue;
    Status swept = SweepOne(name);
    if (swept.code() == EAGAIN)
      incomplete = std::move(swept);
    else
      DKFS_TRY(std::move(swept));
  }
  return incomplete;
}

Status Hydrator::Impl::SweepOne(const std::string& name) {
  const std::string path = std::string(kPartialDir) + "/" + name;
  const FileId file = ParsePartialName(name);
  if (!file) return aside.MoveName(path, name);
  Result<InodeState> state = store->GetInode(file);
  const bool known = state.ok() && state->mode != 0;
  if (!state.ok() && !state.status().IsNotFound() && state.code() != ESTALE) return state.status();
  if (known && state->nlink > 0 && !KnownPresent(file)) return Status::Error(EAGAIN, path + " is not complete");
  DKFS_TRY_ASSIGN(const struct stat st, backing->Stat(path));
  // Of an orphan, or one more name of a settled file, or without content: nothing is lost with it.
  if (known || st.st_blocks == 0 || name.size() > 12) return backing->Unlink(path);
  return aside.MoveName(path, name);
}

void Hydrator::Impl::NoteTouched(FileId file) {
  MutexLock l(mutex);
  touched.insert(file);
}

void Hydrator::Impl::NoteXattrs(FileId file) {
  MutexLock l(mutex);
  touched.insert(file);
  owed_xattrs.insert(file);
}

Status Hydrator::Impl::WriteTimesAndFingerprints() {
  std::unordered_set<FileId> todo;
  {
    MutexLock l(mutex);
    todo.swap(touched);
  }
  Status first;
  std::vector<std::pair<FileId, Fingerprint>> prints;
  const auto flush = [&] {
    if (prints.empty()) return;
    Status put = store->PutFingerprints(prints);
    if (first.ok()) first = put;
    prints.clear();
  };
  for (FileId file : todo) {
    Fingerprint print;
    Result<bool> wrote = WriteOne(file, &print);
    if (wrote.ok() && *wrote) prints.emplace_back(file, print);
    if (!wrote.ok()) {
      NoteTouched(file);
      if (first.ok()) first = wrote.status();
    }
    if (prints.size() >= kPrintBatch) flush();
  }
  flush();
  return first;
}

Status Hydrator::Impl::WriteAttributes(const Inode& inode, const std::string& path) {
  bool owed;
  {
    MutexLock l(mutex);
    owed = owed_xattrs.erase(inode.id) > 0;
  }
  if (!owed) return backing->ApplyOwnerAndMode(path, inode.state);
  Status applied = ApplyAttributes(inode.id, inode.state, path);
  if (!applied.ok()) NoteXattrs(inode.id);
  return applied;
}

// False: there is nothing to write (it is gone), or not yet (settling notes it again).
Result<bool> Hydrator::Impl::WriteOne(FileId file, Fingerprint* print) {
  Result<InodeRef> ref = inodes->Get(file);
  if (!ref.ok()) return ref.code() == ENOENT || ref.code() == ESTALE ? Result(false) : ref.status();
  Inode& inode = **ref;
  SharedLock t(tree);
  ExclusiveLock l(inode.lock);
  // Owed until it is looked at, or until an O_TMPFILE has a name.
  if (inode.presence == Presence::kUnknown || inode.state.nlink == 0) NoteTouched(file);
  if (inode.presence != Presence::kPresent || inode.state.nlink == 0) return false;
  Result<std::string> path = store->PathOf(file);
  if (!path.ok()) return path.status().IsNotFound() ? Result(false) : path.status();
  DKFS_TRY(WriteAttributes(inode, *path));
  DKFS_TRY_ASSIGN(struct stat st, backing->Stat(*path));
  if (S_ISREG(st.st_mode) && static_cast<uint64_t>(st.st_size) != inode.state.size) {
    return Status::Corruption("\"" + *path + "\" in the backing directory has not its recorded size");
  }
  if (inode.times_dirty || MtimeOf(st) != inode.state.mtime) {
    DKFS_TRY(backing->ApplyTimes(*path, inode.state));
    DKFS_TRY_ASSIGN(st, backing->Stat(*path));
    inode.times_dirty = false;
  }
  *print = Backing::FingerprintOf(st);
  return true;
}

}  // namespace dkfs
