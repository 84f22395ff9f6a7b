// Layouts: how finely a file is captured, and what that has cost.
#include <unistd.h>

#include "fs/ops/impl.h"
#include "store/base/fault.h"

namespace dkfs {
namespace {

FileLayout Of(const InodeState& state) { return {state.block_shift, state.policy}; }

bool IsResizable(const Inode& inode) REQUIRES_SHARED(inode.lock) {
  return inode.state.size <= Capture::kMaxRelayout && inode.state.content == ContentState::kStored &&
         inode.state.nlink > 0 && inode.presence != Presence::kPartial;
}

}  // namespace

Result<FileSystem::LayoutNow> FileSystem::LayoutOf(FileId file) {
  DKFS_TRY_ASSIGN(InodeRef ref, impl_->Get(file));
  SharedLock l(ref->lock);
  if (!IsRegular(ref->state)) return Status::Error(EINVAL);
  return LayoutNow{Of(ref->state), ref->state.size, IsResizable(*ref)};
}

Result<FileLayout> FileSystem::SetLayout(FileId file, const FileLayout& layout) {
  Impl& fs = *impl_;
  fs.store->AwaitRoom();
  return fs.WithContent(file, [&](Inode& inode) NO_THREAD_SAFETY_ANALYSIS -> Result<FileLayout> {
    InodeState after = inode.state;
    if (!IsRegular(after)) return Status::Error(EINVAL);
    after.policy = layout.policy;
    if (layout.block_shift != after.block_shift && IsResizable(inode) && inode.presence == Presence::kPresent) {
      after.layout = LayoutId{after.layout.value + 1};
      after.block_shift = layout.block_shift;
    }
    if (after == inode.state) return Of(after);
    DKFS_TRY(Fault::Pass("layout.change"));
    if (after.layout == inode.state.layout) {
      RecordBuilder record;
      record.Inode(file, after);
      DKFS_TRY_ASSIGN(const Seq seq, fs.store->Append(record));
      fs.Publish(inode, after, seq);
      return Of(after);
    }
    // After a loss of power the backing file may be older than the change. What it then holds is explained by the new
    // layout's versions only if it is no older.
    if (fdatasync(inode.backing.get()) != 0) return Status::FromErrno("sync the backing file");
    DKFS_TRY_ASSIGN(const Seq seq, fs.capture.Relayout(inode, after));
    fs.Publish(inode, after, seq);
    return Of(after);
  });
}

CaptureCosts FileSystem::TakeCosts(FileId file) {
  InodeRef ref = impl_->inodes->Peek(file);
  if (!ref) return {};
  ExclusiveLock l(ref->lock);
  return std::exchange(ref->costs, {});
}

}  // namespace dkfs
