// Space: fallocate, SEEK_DATA and SEEK_HOLE, copy_file_range.
#include <linux/falloc.h>

#include "fs/ops/impl.h"
#include "store/base/fault.h"

namespace dkfs {
namespace {

Status AllocateBacking(int fd, int mode, uint64_t offset, uint64_t length) {
  while (fallocate(fd, mode, static_cast<off_t>(offset), static_cast<off_t>(length)) != 0) {
    if (errno != EINTR) return Status::FromErrno("fallocate on the backing file");
  }
  return Status::Ok();
}

// What each allocation does to the attributes, whatever it does to the content. FUSE hands no flag for the set-id bits
// over; root has CAP_FSETID.
InodeState Touched(const Caller& caller, const InodeState& state) {
  InodeState after = state;
  after.mtime = after.ctime = WallNow();
  if (caller.uid != 0) KillSuidSgid(caller, &after);
  return after;
}

constexpr size_t kMaxCopy = 1 << 20;  // one record
// Where the store is asked for the end of data, block by block: more in a row are taken for data to the end of the
// file.
constexpr uint64_t kMaxSeekBlocks = 1 << 12;

}  // namespace

Status AllocateRecorded(int fd, int mode, uint64_t offset, uint64_t length) {
  DKFS_TRY(Fault::Pass("ops.recorded"));
  return AllocateBacking(fd, mode, offset, length);
}

Status FileSystem::Allocate(const Caller& caller, FileId file, int mode, uint64_t offset, uint64_t length) {
  constexpr int kKnown = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE;
  if ((mode & ~kKnown) != 0) return Status::Error(EOPNOTSUPP);
  if (length == 0) return Status::Error(EINVAL);
  if (offset + length < offset || offset + length > uint64_t{INT64_MAX}) return Status::Error(EFBIG);
  if ((mode & FALLOC_FL_PUNCH_HOLE) == 0) impl_->store->AwaitRoom();
  return impl_->WithContent(file, [&](Inode& inode) NO_THREAD_SAFETY_ANALYSIS -> Status {
    DKFS_TRY(impl_->MakeWritable(inode));
    if ((mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) != 0) {
      return impl_->ZeroLocked(caller, inode, mode, offset, length);
    }
    InodeState after = Touched(caller, inode.state);
    const bool grows = (mode & FALLOC_FL_KEEP_SIZE) == 0 && offset + length > after.size;
    if (!grows) return impl_->AllocateOnly(caller, inode, after, mode, offset, length);
    const uint64_t old_size = after.size;
    after.size = offset + length;
    DKFS_TRY_ASSIGN(const Seq seq, impl_->capture.Resize(inode, after, caller.request));
    const int fd = inode.backing.get();
    if (Status s = impl_->TakeSpace([&] { return AllocateRecorded(fd, mode, offset, length); }); !s.ok()) {
      return impl_->Undo(inode, after, seq, 0, 0, s);
    }
    impl_->hydrator->MarkResized(inode, old_size, after.size);
    impl_->FollowMode(inode, after);
    impl_->Publish(inode, after, seq);
    return Status::Ok();
  });
}

Status FileSystem::Impl::AllocateOnly(const Caller& caller, Inode& inode, const InodeState& after, int mode,
                                      uint64_t offset, uint64_t length) {
  RecordBuilder record;
  record.SetRequest(caller.request);
  record.Inode(inode.id, after);
  DKFS_TRY_ASSIGN(const Seq seq, store->Append(record));
  const int fd = inode.backing.get();
  if (Status s = TakeSpace([&] { return AllocateBacking(fd, mode, offset, length); }); !s.ok()) {
    return Undo(inode, after, seq, 0, 0, s);
  }
  FollowMode(inode, after);
  Publish(inode, after, seq);
  return Status::Ok();
}

Status FileSystem::Impl::ZeroLocked(const Caller& caller, Inode& inode, int mode, uint64_t offset, uint64_t length) {
  const uint64_t block_size = uint64_t{1} << inode.state.block_shift;
  const uint64_t old_size = inode.state.size;
  const uint64_t end = offset + length;
  InodeState after = Touched(caller, inode.state);
  if ((mode & FALLOC_FL_KEEP_SIZE) == 0) after.size = std::max(after.size, end);
  if (offset >= old_size && after.size == old_size) return AllocateOnly(caller, inode, after, mode, offset, length);

  // Only what the file had can change; beyond it is zero already.
  const uint64_t zero_end = std::min(end, RoundUp(old_size, block_size));
  const uint64_t zero_length = zero_end > offset ? zero_end - offset : 0;
  if (zero_length > 0) {
    DKFS_TRY(MakeEndsPresent(inode, offset, zero_end, RoundUp(old_size, block_size)));
    const uint64_t first = offset / block_size;
    if (inode.state.content == ContentState::kAdopting) {
      DKFS_TRY(capture.Secure(inode, first, (zero_end - 1) / block_size - first + 1));
    }
    DKFS_TRY(SyncAdopted(inode));
  }
  Result<Seq> seq = zero_length > 0 ? capture.Zero(inode, offset, zero_length, after, caller.request)
                                    : capture.Resize(inode, after, caller.request);
  if (!seq.ok()) return seq.status();
  if (Status s = AllocateRecorded(inode.backing.get(), mode, offset, length); !s.ok()) {
    return Undo(inode, after, *seq, offset, zero_length, s);
  }
  if (after.size != old_size) hydrator->MarkResized(inode, old_size, after.size);
  if (inode.presence == Presence::kPartial && zero_length > 0) {
    const uint64_t first_whole = RoundUp(offset, block_size) / block_size;
    const uint64_t end_whole = zero_end / block_size;
    if (first_whole < end_whole) hydrator->MarkPresent(inode, first_whole, end_whole - first_whole);
  }
  FollowMode(inode, after);
  Publish(inode, after, *seq);
  return Status::Ok();
}

Result<uint64_t> FileSystem::Impl::NextEdge(Inode& inode, uint64_t offset, int whence) {
  const InodeState state = inode.state;
  if (offset >= state.size) return Status::Error(ENXIO);
  if (inode.presence == Presence::kPresent) {
    const off_t at = lseek(inode.backing.get(), static_cast<off_t>(offset), whence);
    return at >= 0 ? Result<uint64_t>(static_cast<uint64_t>(at)) : Status::FromErrno("lseek on the backing file");
  }
  uint64_t block = offset >> state.block_shift;
  Result<uint64_t> data = store->NextData(inode.id, state, block);
  if (whence == SEEK_DATA) {
    if (!data.ok()) return data.status();
    const uint64_t at = std::max(offset, *data << state.block_shift);
    return at < state.size ? Result<uint64_t>(at) : Status::Error(ENXIO);
  }
  for (const uint64_t from = block; data.ok() && *data == block && block << state.block_shift < state.size;) {
    if (++block - from == kMaxSeekBlocks) return state.size;
    data = store->NextData(inode.id, state, block);
  }
  if (!data.ok() && data.code() != ENXIO) return data.status();
  return std::min(std::max(offset, block << state.block_shift), state.size);
}

Result<FileSystem::Sought> FileSystem::Seek(FileId file, uint64_t offset, int whence) {
  if (whence != SEEK_DATA && whence != SEEK_HOLE) return Status::Error(EINVAL);
  return impl_->WithContent(file, [&](Inode& inode) NO_THREAD_SAFETY_ANALYSIS -> Result<Sought> {
    Sought sought{.at = impl_->NextEdge(inode, offset, whence), .size = inode.state.size};
    if (!sought.at.ok() && sought.at.code() != ENXIO) return sought.at.status();
    if (offset >= sought.size) return sought;
    sought.hole = whence == SEEK_DATA ? offset : *sought.at;
    Result<uint64_t> data = whence == SEEK_DATA ? sought.at : impl_->NextEdge(inode, sought.hole, SEEK_DATA);
    sought.hole_end = data.ok() ? *data : sought.size;
    return sought;
  });
}

Result<size_t> FileSystem::CopyRange(const Caller& caller, FileId from, uint64_t from_offset, FileId to,
                                     uint64_t to_offset, size_t length) {
  thread_local std::vector<std::byte> buffer;
  buffer.resize(kMaxCopy);
  const MutableBytes out(buffer.data(), std::min(length, kMaxCopy));
  DKFS_TRY_ASSIGN(const size_t n, Read(from, out, from_offset));
  if (n == 0) return size_t{0};
  return Write(caller, to, out.first(n), to_offset, false, caller.uid != 0);
}

}  // namespace dkfs
