// Content: read, write, truncate, fsync. The write path is WriteLocked; DESIGN: hydrate what is touched in part,
// record, then the backing file, then the answer.
#include <sys/stat.h>
#include <sys/xattr.h>

#include "fs/ops/impl.h"
#include "store/base/fault.h"
#include "store/base/file.h"

namespace dkfs {
namespace {

BlockSpan SpanOf(const InodeState& state, uint64_t offset, uint64_t length) {
  const uint64_t first = offset >> state.block_shift;
  return {first, length == 0 ? 0 : ((offset + length - 1) >> state.block_shift) - first + 1};
}

Status WriteBacking(int fd, Bytes data, uint64_t offset) {
  DKFS_TRY(Fault::Pass("ops.recorded"));
  DKFS_TRY(Fault::Pass("backing.write"));
  // The kernel has a copy of its own above FUSE. Not having two halves what a stream costs, and keeps large folios out
  // of the page cache, whose blocks ext4 walks for each small write into them.
  return IsStream(data) ? file::WriteStreamAt(fd, data, offset, "backing file")
                        : file::WriteAt(fd, data, offset, "backing file");
}

Status CutBacking(int fd, uint64_t size) {
  DKFS_TRY(Fault::Pass("ops.recorded"));
  // ext4 takes what was cut to nothing for a file that is being replaced, and starts to write it back when it is
  // closed.
  struct stat st;
  if (size == 0 && fstat(fd, &st) == 0 && st.st_size == 0 && st.st_blocks == 0) return Status::Ok();
  return ftruncate(fd, static_cast<off_t>(size)) == 0 ? Status::Ok() : Status::FromErrno("truncate the backing file");
}

// Exactly what was asked for: a short answer would tell the kernel that the file ends there.
Result<size_t> ReadBacking(int fd, MutableBytes out, uint64_t offset) {
  DKFS_TRY_ASSIGN(const size_t n, file::ReadAt(fd, out, offset, "backing file"));
  if (n < out.size()) return Status::Error(EIO, "backing file is shorter than its recorded size");
  return n;
}

}  // namespace

Status FileSystem::Impl::OpenBacking(Inode& inode) {
  if (inode.backing.valid()) return Status::Ok();
  std::string path;  // an orphan has none: it is made again from the store
  if (inode.state.nlink > 0) {
    DKFS_TRY_ASSIGN(path, PathOf(inode));
  }
  DKFS_TRY(hydrator->Prepare(inode, path));
  inode.backing_read_only = (fcntl(inode.backing.get(), F_GETFL) & O_ACCMODE) == O_RDONLY;
  NoteOpened(inode);
  return Status::Ok();
}

void FileSystem::Impl::NoteOpened(Inode& inode) {
  inode.used.store(true, std::memory_order_relaxed);
  MutexLock l(open_order_mutex);
  open_order.push_back(inode.id);
}

void FileSystem::Impl::CloseOldest() {
  // All may be in use. Those looked at lose the mark of use, so the next ones find some; nobody looks at all of them.
  constexpr size_t kTries = 64;
  for (size_t i = 0; i < kTries && CloseFront(options.open_files); ++i) {
  }
}

bool FileSystem::Impl::CloseFront(size_t enough) {
  FileId oldest;
  {
    MutexLock l(open_order_mutex);
    if (open_order.size() <= enough) return false;
    oldest = open_order.front();
    open_order.pop_front();
  }
  InodeRef ref = inodes->Peek(oldest);
  if (ref && !CloseUnused(*ref)) {
    MutexLock l(open_order_mutex);
    open_order.push_back(oldest);
  }
  return true;
}

void FileSystem::CloseIdle() {
  size_t left;
  {
    MutexLock l(impl_->open_order_mutex);
    left = impl_->open_order.size();
  }
  for (; left > 0; --left) {
    if (!impl_->CloseFront(0)) return;
  }
}

// Only tried: whoever holds the lock uses it. That of an orphan stays, because no name leads back to it, unless so many
// are open that the store might get none: then the orphan is made again from the store when it is used.
bool FileSystem::Impl::CloseUnused(Inode& inode) {
  if (inode.used.exchange(false, std::memory_order_relaxed)) return false;
  if (!inode.lock.try_lock()) return false;
  if (inode.state.nlink > 0) {
    inode.backing.reset();
  } else if (IsCrowded(inode.backing.get()) && inode.state.content == ContentState::kStored) {
    inode.backing.reset();
    if (inode.presence == Presence::kPartial) DropPartial(inode.id);
    hydrator->MarkUnknown(inode);
  }
  inode.lock.unlock();
  return true;
}

// The lowest free number is given, so a high one says how many are in use.
bool FileSystem::Impl::IsCrowded(int fd) const { return fd >= 0 && static_cast<size_t>(fd) >= options.unlinked_below; }

void FileSystem::Impl::MakeRoom(UniqueFd* fd) {
  for (size_t i = 0; i < 2 * options.open_files && IsCrowded(fd->get()) && CloseFront(0); ++i) {
    UniqueFd lower(fcntl(fd->get(), F_DUPFD_CLOEXEC, 0));
    if (lower && lower.get() < fd->get()) *fd = std::move(lower);
  }
}

Status FileSystem::Impl::MakeWritable(Inode& inode) {
  if (!inode.backing_read_only) return Status::Ok();
  UniqueFd again(open(("/proc/self/fd/" + std::to_string(inode.backing.get())).c_str(), O_RDWR | O_CLOEXEC));
  if (!again) return Refused(Status::FromErrno("open the backing file for writing"));
  inode.backing = std::move(again);
  inode.backing_read_only = false;
  return Status::Ok();
}

Result<size_t> FileSystem::Impl::ReadFromStore(Inode& inode, MutableBytes out, uint64_t offset) {
  if (offset >= inode.state.size) return size_t{0};
  const size_t n = std::min<uint64_t>(out.size(), inode.state.size - offset);
  const size_t block_size = size_t{1} << inode.state.block_shift;
  std::vector<std::byte> block(block_size);
  for (size_t done = 0; done < n;) {
    const uint64_t at = offset + done;
    const size_t in_block = at % block_size;
    const size_t part = std::min(block_size - in_block, n - done);
    DKFS_TRY(store->ReadBlock(inode.id, inode.state, at / block_size, kLatest, block));
    std::copy_n(block.begin() + static_cast<ptrdiff_t>(in_block), part, out.begin() + static_cast<ptrdiff_t>(done));
    done += part;
  }
  return n;
}

Status FileSystem::Impl::MakePresent(Inode& inode, uint64_t offset, uint64_t length) {
  const BlockSpan span = SpanOf(inode.state, offset, length);
  if (Hydrator::IsPresent(inode, span.first, span.count)) return Status::Ok();
  return hydrator->MakePresent(inode, span.first, span.count);
}

Status FileSystem::Impl::MakeEndsPresent(Inode& inode, uint64_t offset, uint64_t end, uint64_t size) {
  const uint64_t in_block = (uint64_t{1} << inode.state.block_shift) - 1;
  const bool front = (offset & in_block) != 0, back = (end & in_block) != 0 && end < size;
  if (front) DKFS_TRY(MakePresent(inode, offset, 1));
  if (back) DKFS_TRY(MakePresent(inode, end, 1));
  // The whole backing file may have gone aside for the last block, and with it the first.
  return front && back ? MakePresent(inode, offset, 1) : Status::Ok();
}

Result<size_t> FileSystem::Read(FileId file, MutableBytes out, uint64_t offset) {
  Impl& fs = *impl_;
  DKFS_TRY_ASSIGN(InodeRef ref, fs.Get(file));
  Inode& inode = *ref;
  BlockSpan absent;
  {
    SharedLock l(inode.lock);
    if (inode.backing.valid()) {
      inode.used.store(true, std::memory_order_relaxed);
      if (offset >= inode.state.size) return size_t{0};
      const size_t n = std::min<uint64_t>(out.size(), inode.state.size - offset);
      const BlockSpan span = SpanOf(inode.state, offset, n);
      if (Hydrator::IsPresent(inode, span.first, span.count)) {
        Result<size_t> read = ReadBacking(inode.backing.get(), out.first(n), offset);
        if (read.ok()) return read;
      } else {
        absent = span;
      }
    }
  }
  Hydrator::Made made;
  if (absent.count > 0) made = fs.hydrator->Make(inode, absent.first, absent.count);
  Result<size_t> read = fs.WithContent(file, [&](Inode& i) NO_THREAD_SAFETY_ANALYSIS -> Result<size_t> {
    if (offset >= i.state.size) return size_t{0};
    const size_t n = std::min<uint64_t>(out.size(), i.state.size - offset);
    fs.hydrator->Use(i, made);
    DKFS_TRY(fs.MakePresent(i, offset, n));
    return ReadBacking(i.backing.get(), out.first(n), offset);
  });
  if (read.ok() || read.status().IsCorruption() || read.code() == EISDIR || read.code() == EINVAL) return read;
  // The backing disk is full, read-only or failing: reads go on from the store.
  fs.Refused(read.status()).Ignore("only the status shows it, if the store can answer");
  SharedLock l(inode.lock);
  if (!IsRegular(inode.state)) return read;
  Result<size_t> stored = fs.ReadFromStore(inode, out, offset);
  return stored.code() == ENODATA ? read : stored;  // it is only in the backing file
}

BlockSpan FileSystem::Impl::DeferrableBlocks(const Inode& inode, Bytes data, uint64_t offset) {
  const InodeState& state = inode.state;
  const uint64_t end = offset + data.size();
  if (!hydrator->TakesDeferred(data.size(), end) || inode.presence == Presence::kUnknown || !inode.backing.valid() ||
      state.nlink != 1 || state.content != ContentState::kStored) {
    return {};
  }
  const uint64_t begin = RoundUp(offset, uint64_t{1} << state.block_shift);
  const uint64_t behind = end >> state.block_shift << state.block_shift;
  if (behind <= begin || !hydrator->TakesDeferred(behind - begin, end) || IsAllZero(data)) return {};
  // The kernel hands over what it has cached in any order, so former ends tell nothing.
  if (begin < state.size && !file::IsHole(inode.backing.get(), begin, behind - begin)) return {};
  return {begin >> state.block_shift, (behind - begin) >> state.block_shift};
}

void FileSystem::Impl::BeginDeferring(FileId file, Bytes data, uint64_t offset) {
  InodeRef ref = inodes->Peek(file);
  if (!ref) return;
  Inode& inode = *ref;
  {
    SharedLock l(inode.lock);
    if (inode.presence == Presence::kPartial || DeferrableBlocks(inode, data, offset).count == 0) return;
  }
  SharedLock t(tree);
  ExclusiveLock l(inode.lock);
  if (inode.presence == Presence::kPartial || DeferrableBlocks(inode, data, offset).count == 0) return;
  Result<std::string> path = PathOf(inode);
  if (path.ok()) hydrator->BeginDeferring(inode, *path).Ignore("it is written directly then");
}

void FileSystem::Impl::NoteWritten(Inode& inode, const BlockSpan& written, const BlockSpan& deferred) {
  if (inode.presence != Presence::kPartial) return;
  if (deferred.count == 0) return hydrator->MarkPresent(inode, written.first, written.count);
  hydrator->Defer(inode, deferred.first, deferred.count);
  const uint64_t behind = deferred.first + deferred.count;
  hydrator->MarkPresent(inode, written.first, deferred.first - written.first);
  hydrator->MarkPresent(inode, behind, written.first + written.count - behind);
}

Status FileSystem::Impl::WriteAround(Inode& inode, Bytes data, uint64_t offset, BlockSpan* deferred) {
  const int fd = inode.backing.get();
  if (deferred->count > 0) {
    const uint64_t begin = deferred->first << inode.state.block_shift;
    const uint64_t length = deferred->count << inode.state.block_shift;
    Status room = AllocateRecorded(fd, 0, begin, length);
    if (room.ok()) {
      const size_t front = begin - offset;
      if (front > 0) DKFS_TRY(WriteBacking(fd, data.first(front), offset));
      const Bytes back = data.subspan(front + length);
      return back.empty() ? Status::Ok() : WriteBacking(fd, back, begin + length);
    }
    if (room.code() != EOPNOTSUPP && room.code() != ENOSYS) return room;
    hydrator->RefuseDeferred();
    *deferred = {};
  }
  return WriteBacking(fd, data, offset);
}

Result<size_t> FileSystem::Write(const Caller& caller, FileId file, Bytes data, uint64_t offset, bool append,
                                 bool kill_suidgid, bool from_cache) {
  if (data.empty()) return size_t{0};
  impl_->store->AwaitRoom();
  if (impl_->hydrator->TakesDeferred(data.size(), offset + data.size())) impl_->BeginDeferring(file, data, offset);
  return impl_->WithContent(file, [&](Inode& inode) NO_THREAD_SAFETY_ANALYSIS -> Result<size_t> {
    const uint64_t at = append && !from_cache ? inode.state.size : offset;
    return impl_->WriteLocked(caller, inode, data, at, kill_suidgid, from_cache);
  });
}

Result<size_t> FileSystem::Impl::WriteLocked(const Caller& caller, Inode& inode, Bytes data, uint64_t offset,
                                             bool kill_suidgid, bool from_cache) {
  InodeState after = inode.state;
  const BlockSpan span = SpanOf(after, offset, data.size());
  const uint64_t block_size = uint64_t{1} << after.block_shift;
  const uint64_t end = offset + data.size();
  if (end < offset || end > uint64_t{INT64_MAX}) return Status::Error(EFBIG);
  DKFS_TRY(MakeWritable(inode));

  // What a block keeps of its old content must be there: the front of the first block, the back of the last.
  DKFS_TRY(MakeEndsPresent(inode, offset, end, after.size));
  if (after.content == ContentState::kAdopting && offset < RoundUp(after.adopted_size, block_size)) {
    DKFS_TRY(capture.Secure(inode, span.first, span.count));
  }
  DKFS_TRY(SyncAdopted(inode));
  // What comes from the cache was written before: the kernel took the capability away then, and another may be set
  // since.
  if (!from_cache && inode.has_capability != Inode::Known::kNo) DKFS_TRY(DropCapability(inode));

  after.size = std::max(after.size, end);
  if (!(options.writeback_cache && from_cache)) after.mtime = after.ctime = WallNow();
  if (kill_suidgid) KillSuidSgid(caller, &after);
  BlockSpan deferred;
  if (inode.presence == Presence::kPartial) deferred = DeferrableBlocks(inode, data, offset);
  DKFS_TRY_ASSIGN(const Seq seq, capture.Write(inode, offset, data, after, caller.request));
  const auto write = [&]() NO_THREAD_SAFETY_ANALYSIS { return WriteAround(inode, data, offset, &deferred); };
  if (Status s = TakeSpace(write); !s.ok()) {
    return Undo(inode, after, seq, offset, data.size(), s);
  }
  NoteWritten(inode, span, deferred);
  FollowMode(inode, after);
  Publish(inode, after, seq);
  return data.size();
}

Status FileSystem::Impl::Undo(Inode& inode, const InodeState& after, Seq seq, uint64_t offset, uint64_t length,
                              Status error) {
  if (!capture.Void(inode, seq).ok()) {  // the record stands, so the change is done: its bytes come from the store too
    const uint64_t old_size = inode.state.size;
    Publish(inode, after, seq);
    hydrator->MarkResized(inode, old_size, after.size);
  }
  Refused(error).Ignore("handed to the caller below");
  // The write may have gone in part: the bytes are made again from the store before anybody sees them. What lies beyond
  // the recorded size is cut off.
  if (ftruncate(inode.backing.get(), static_cast<off_t>(inode.state.size)) != 0) {
    Status::FromErrno("cut the backing file").Ignore("reads are bounded by the recorded size");
  }
  const BlockSpan span = SpanOf(inode.state, offset, length);
  hydrator->MarkAbsent(inode, span.first, span.count);
  hydrator->NoteTouched(inode.id);  // cutting sets its times
  return error;
}

Status FileSystem::Impl::Truncate(const Caller& caller, Inode& inode, InodeState after) {
  const uint64_t old_size = inode.state.size;
  const uint64_t block_size = uint64_t{1} << after.block_shift;
  if (after.size > uint64_t{INT64_MAX}) return Status::Error(EFBIG);
  DKFS_TRY(MakeWritable(inode));
  if (after.size < old_size && after.size % block_size != 0) DKFS_TRY(MakePresent(inode, after.size, 1));
  DKFS_TRY_ASSIGN(const Seq seq, capture.Resize(inode, after, caller.request));
  if (Status s = CutBacking(inode.backing.get(), after.size); !s.ok()) return Undo(inode, after, seq, 0, 0, s);
  hydrator->MarkResized(inode, old_size, after.size);
  FollowMode(inode, after);
  Publish(inode, after, seq);
  return Status::Ok();
}

void FileSystem::Fsync(FileId file, std::function<void(Status)> done) {
  InodeRef ref = impl_->inodes->Peek(file);
  const uint64_t last = ref ? ref->last_seq.load() : 0;
  // Not changed since it came into memory: what changed it before may still be unsynced, so everything is waited for.
  impl_->store->Barrier(last != 0 ? Seq{last} : kLatest, std::move(done));
}

Status FileSystem::FsyncAndWait(FileId file) {
  InodeRef ref = impl_->inodes->Peek(file);
  const uint64_t last = ref ? ref->last_seq.load() : 0;
  return impl_->store->BarrierAndWait(last != 0 ? Seq{last} : kLatest);
}

}  // namespace dkfs
