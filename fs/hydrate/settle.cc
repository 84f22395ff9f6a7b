// Settling: a partial file without absent blocks gets its names.
//
//   several names: each is linked to the partial file, which loses its partial name last. Cut short, the partial file
//   is found at the next start, its names are taken away again (Prepare), and it is settled anew.
#include <fcntl.h>
#include <unistd.h>

#include "fs/hydrate/impl.h"
#include "store/base/fault.h"
#include "store/base/file.h"
#include "store/base/log.h"

namespace dkfs {

Status Hydrator::Impl::PrepareParents(FileId file) {
  std::vector<LinkName> names;
  {
    SharedLock t(tree);
    DKFS_TRY_ASSIGN(names, store->Links(file));
  }
  for (const LinkName& name : names) {
    if (!KnownPresent(name.parent)) DKFS_TRY(PrepareDirectoryOf(name.parent));
  }
  return Status::Ok();
}

Status Hydrator::Impl::Settle(FileId file) {
  InodeRef ref = inodes->Peek(file);
  if (!ref) return Status::Ok();
  Inode& inode = *ref;
  constexpr int kAttempts = 8;  // names may change between preparing the directories and looking again
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    DKFS_TRY(PrepareParents(file));
    SharedLock t(tree);
    DKFS_TRY_ASSIGN(const std::vector<Link> links, LinksOf(file));
    bool ready = true;
    for (const Link& link : links) ready = ready && KnownPresent(link.parent);
    if (!ready) continue;
    ExclusiveLock l(inode.lock);
    if (inode.presence != Presence::kPartial || inode.absent_blocks.count() > 0) return Status::Ok();
    Status placed = PlaceNames(inode, links);
    CloseUnused(inode);
    return placed;
  }
  return Status::Error(EAGAIN, "give a restored file its names");
}

void Hydrator::Impl::CloseUnused(Inode& inode) {
  if (inode.state.nlink > 0) inode.backing.reset();
}

// What was not captured may be in a copy by now. It is known by its number as soon as its partial name is gone.
Status Hydrator::Impl::NoteAdopted(Inode& inode, const struct stat& st) {
  if (inode.state.content != ContentState::kAdopting || inode.state.rdev == st.st_ino) return Status::Ok();
  InodeState after = inode.state;
  after.rdev = st.st_ino;
  if (const auto birth = backing->BirthTimeOf(inode.backing.get())) after.btime = *birth;
  RecordBuilder record;
  record.Inode(inode.id, after);
  DKFS_TRY_ASSIGN(const Seq seq, store->Append(record));
  inode.last_seq = seq.value;
  inode.state = std::move(after);
  return store->Sync(seq);
}

Status Hydrator::Impl::PlaceNames(Inode& inode, const std::vector<Link>& links) {
  const std::string partial = Backing::PartialPath(inode.id);
  if (links.empty()) {  // an orphan: only its descriptor leads to it
    Status gone = backing->Unlink(partial);
    if (!gone.ok() && !gone.IsNotFound()) return gone;
  } else {
    DKFS_TRY(Fault::Pass("hydrate.publish"));
    DKFS_TRY(Prepare(inode, links[0].path));
    if (inode.presence != Presence::kPartial) return Status::Ok();
    if (inode.absent_blocks.count() > 0) {  // it had vanished, and was made anew
      NoteToFill(inode);
      return Status::Ok();
    }
    DKFS_TRY_ASSIGN(const struct stat st, file::StatFd(inode.backing.get(), partial));
    DKFS_TRY(NoteAdopted(inode, st));
    Result<struct stat> at_partial = backing->Stat(partial);
    bool has_partial = at_partial.ok() && at_partial->st_ino == st.st_ino;
    if (has_partial) DKFS_TRY(ApplyAttributes(inode.id, inode.state, partial));
    for (size_t i = 0; i < links.size(); ++i) {
      Result<struct stat> there = backing->Stat(links[i].path);
      if (!there.ok() && !there.status().IsNotFound()) return there.status();
      if (there.ok() && there->st_ino == st.st_ino) continue;
      if (there.ok()) DKFS_TRY(aside.MoveName(links[i].path));
      if (has_partial && i + 1 == links.size()) {
        DKFS_TRY(backing->Rename(partial, links[i].path, RENAME_NOREPLACE));
        has_partial = false;
      } else {
        DKFS_TRY(backing->LinkFd(inode.backing.get(), links[i].path));
      }
      NoteTouched(links[i].parent);
    }
    if (has_partial)
      DKFS_TRY(backing->Unlink(partial));
    else if (!at_partial.ok())
      DKFS_TRY(ApplyAttributes(inode.id, inode.state, links[0].path));
  }
  backing->Unlink(LostPath(inode.id)).Ignore("only a file that lost content has it");
  inode.absent_blocks = {};
  inode.believed_bytes = ~uint64_t{0};
  inode.presence = Presence::kPresent;
  inode.times_dirty = true;
  NoteTouched(inode.id);
  return Status::Ok();
}

Status Hydrator::Impl::DrainComplete() {
  Status first;
  for (;;) {
    FileId file;
    {
      MutexLock l(mutex);
      if (complete.empty()) return first;
      file = complete.front();
      complete.pop_front();
    }
    Status settled = FillAndSettle(file, Haste::kFull, nullptr);
    if (first.ok()) first = std::move(settled);
  }
}

Status Hydrator::Impl::FillAndSettle(FileId file, Haste haste, const std::function<bool()>& cancel) {
  Status settled;
  if (InodeRef ref = inodes->Peek(file)) settled = FillAll(*ref, haste, cancel);
  if (settled.ok()) settled = Settle(file);
  // Damage is reported block by block; what was cancelled is left to Finish.
  if (!settled.ok() && !settled.IsCorruption() && settled.code() != ECANCELED) {
    Log(LogLevel::kWarn, "settle_failed",
        {{"file", file.value}, {"error", settled.ToString()}, {"hint", "tried again at unmount; see dkfsctl status"}});
  }
  return settled;
}

}  // namespace dkfs
