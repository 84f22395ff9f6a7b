// Deferred blocks: long writes that are recorded, and brought into the backing file by the background once no more
// come.
#include <stdio.h>
#include <sys/stat.h>

#include <algorithm>

#include "fs/hydrate/impl.h"
#include "store/base/clock.h"
#include "store/base/file.h"

namespace dkfs {

bool Hydrator::Impl::TakesDeferred(uint64_t bytes, uint64_t end) const {
  return bytes >= options.defer.least_write_bytes && end >= options.defer.least_file_bytes &&
         takes_deferred.load(std::memory_order_relaxed) && !refuses_deferred.load(std::memory_order_relaxed) &&
         deferred_bytes.load(std::memory_order_relaxed) < options.defer.most_bytes;
}

Status Hydrator::Impl::BeginDeferring(Inode& inode, const std::string& path) {
  DKFS_TRY_ASSIGN(const struct stat open, file::StatFd(inode.backing.get(), path));
  DKFS_TRY_ASSIGN(const struct stat named, backing->Stat(path));
  if (open.st_ino != named.st_ino || open.st_nlink != 1) return Status::Error(ESTALE, "not the only name of the file");
  DKFS_TRY(backing->EnsurePartialDir());
  DKFS_TRY(backing->Rename(path, Backing::PartialPath(inode.id), RENAME_NOREPLACE));
  presence::Begin(inode, presence::BlocksOf(inode.state), false);
  inodes->ForgetPresent(inode.id);
  NoteDeferred(inode.id, 0);  // so that it is settled, whatever becomes of the write
  return Status::Ok();
}

void Hydrator::Impl::Defer(Inode& inode, uint64_t first, uint64_t count) {
  inode.absent_blocks.Add(first, first + count);
  NoteDeferred(inode.id, count << inode.state.block_shift);
}

void Hydrator::Impl::NoteDeferred(FileId file, uint64_t bytes) {
  deferred_bytes.fetch_add(bytes, std::memory_order_relaxed);
  MutexLock l(mutex);
  last_deferred_ns = MonotonicNs();
  if (deferred.empty()) {
    first_deferred_ns = last_deferred_ns;
    wake.SignalAll();
  }
  deferred[file] += bytes;
}

uint64_t Hydrator::Impl::DeferredDueNs() const {
  const auto ns = [](std::chrono::milliseconds t) { return static_cast<uint64_t>(t.count()) * 1'000'000; };
  return std::min(last_deferred_ns + ns(options.defer.quiet), first_deferred_ns + ns(options.defer.longest));
}

void Hydrator::Impl::FillDeferred() {
  std::unordered_map<FileId, uint64_t> due;
  {
    MutexLock l(mutex);
    if (deferred.empty() || MonotonicNs() < DeferredDueNs()) return;
    due.swap(deferred);
  }
  for (const auto& [file, bytes] : due) {
    FillAndSettle(file, Haste::kGivesWay, [this] { return stopping.load(); }).Ignore("logged; Finish tries again");
    deferred_bytes.fetch_sub(bytes, std::memory_order_relaxed);
  }
}

}  // namespace dkfs
