// Blocks: verified as they stand, or reconstructed and written.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "fs/hydrate/impl.h"
#include "store/base/fault.h"
#include "store/base/file.h"
#include "store/base/hash.h"
#include "store/base/log.h"

namespace dkfs {
namespace {

struct Buffers {
  std::vector<std::byte> span, block;
};
Buffers& ThreadBuffers() {
  thread_local Buffers buffers;
  return buffers;
}

MutableBytes Room(std::vector<std::byte>* buffer, size_t bytes) {
  if (buffer->size() < bytes) buffer->resize(bytes);
  return MutableBytes(*buffer).first(bytes);
}

// A name for messages and for what is kept aside.
std::string DisplayPath(Store* store, FileId file) {
  Result<std::string> path = store->PathOf(file);
  return path.ok() && !path->empty() ? *path : Backing::PartialPath(file);
}

Status ZeroBacking(int fd, uint64_t offset, uint64_t length) {
  DKFS_TRY(Fault::Pass("backing.write"));
  if (::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                  static_cast<off_t>(length)) == 0) {
    return Status::Ok();
  }
  if (errno != EOPNOTSUPP) return Status::FromErrno("punch a hole into a backing file");
  const std::vector<std::byte> zeros(length);
  return file::WriteAt(fd, zeros, offset, "backing file");
}

}  // namespace

Status Hydrator::Impl::MakePresent(Inode& inode, uint64_t first, uint64_t count, Wanted wanted) {
  if (inode.presence == Presence::kPresent) return Status::Ok();
  if (inode.presence == Presence::kUnknown || !inode.backing.valid()) return Status::Error(EBADF, "not prepared");
  const uint64_t blocks = presence::BlocksOf(inode.state);
  const uint64_t end = std::min(blocks, count > kEndOfFile - first ? kEndOfFile : first + count);
  const uint64_t span = kSpanBytes >> inode.state.block_shift;
  Status damage;
  bool swapped = false;
  for (uint64_t at = inode.absent_blocks.Next(first, end); at < end; at = inode.absent_blocks.Next(at, end)) {
    if (end - at > span) {
      DKFS_TRY_ASSIGN(const uint64_t behind, SkipHoles(inode, at, end));
      if (behind > at) {
        at = behind;
        continue;
      }
    }
    const uint64_t stop = inode.absent_blocks.NextOutside(at, std::min(end, at + span));
    Status filled = FillSpan(inode, at, stop - at, wanted);
    if (filled.code() == Aside::kOverBudget && !swapped) {
      DKFS_TRY(SwapAside(inode, DisplayPath(store, inode.id)));
      swapped = true;
      at = first;
      continue;
    }
    if (filled.IsCorruption())
      damage = filled;
    else if (!filled.ok())
      return filled;
    at = stop;
  }
  NoteComplete(inode);
  return damage;
}

Hydrator::Made Hydrator::Impl::Make(Inode& inode, uint64_t first, uint64_t count) {
  Made made;
  InodeState state;
  {
    SharedLock l(inode.lock);
    if (inode.presence != Presence::kPartial || !inode.backing.valid()) return made;
    const uint64_t most = std::max<uint64_t>(1, kBackgroundSpanBytes >> inode.state.block_shift);
    const uint64_t end = std::min(presence::BlocksOf(inode.state), first + std::min(count, most));
    made.first = inode.absent_blocks.Next(first, end);
    if (made.first >= end) return made;
    made.good.resize(end - made.first, false);
    made.as_of = store->appended();
    state = inode.state;
  }
  const size_t block_size = size_t{1} << state.block_shift;
  made.bytes.resize(made.good.size() * block_size);
  if (made.good.size() == 1) {  // mostly somebody waits for it: asked of the index by its key
    Store::Newest newest;
    made.good[0] = store->ReadBlock(inode.id, state, made.first, kLatest, made.bytes, &newest).ok() && !newest.hole;
    return made;
  }
  store
      ->ReadBlocks(inode.id, state, made.first, made.good.size(), kLatest,
                   [&](const Store::BlockRun& run) {
                     if (!run.status.ok() || run.hole) return true;
                     const uint64_t at = run.first - made.first;
                     std::copy(run.data.begin(), run.data.end(),
                               made.bytes.begin() + static_cast<ptrdiff_t>(at * block_size));
                     std::fill_n(made.good.begin() + static_cast<ptrdiff_t>(at), run.count, true);
                     return true;
                   })
      .Ignore("MakePresent tells");
  return made;
}

bool Hydrator::Impl::IsStill(Inode& inode, const Made& made, uint64_t block) {
  const size_t block_size = size_t{1} << inode.state.block_shift;
  const uint64_t at = block - made.first;
  if (!made.good[at] || Hydrator::IsPresent(inode, block, 1)) return false;
  if (!file::IsHole(inode.backing.get(), block * block_size, block_size)) return false;
  if (store->appended() == made.as_of) return true;
  Store::Newest newest;
  return store->DescribeBlock(inode.id, inode.state, block, kLatest, &newest).ok() && !newest.hole &&
         newest.checksum == Hash64(Bytes(made.bytes).subspan(at * block_size, block_size));
}

void Hydrator::Impl::Use(Inode& inode, const Made& made, Wanted wanted) {
  if (made.good.empty() || inode.presence != Presence::kPartial || !inode.backing.valid()) return;
  const size_t block_size = size_t{1} << inode.state.block_shift;
  if (made.bytes.size() != made.good.size() * block_size) return;  // its blocks have another size now
  const uint64_t end = std::min(presence::BlocksOf(inode.state), made.first + made.good.size());
  for (uint64_t block = made.first; block < end;) {
    uint64_t behind = block;
    while (behind < end && IsStill(inode, made, behind)) ++behind;
    if (behind > block) {
      const Bytes bytes = Bytes(made.bytes).subspan((block - made.first) * block_size, (behind - block) * block_size);
      Status put = Fault::Pass("hydrate.block");
      if (put.ok()) put = PutRun(inode, {block, behind - block, false, Status::Ok(), bytes, nullptr}, {}, wanted);
      if (!put.ok()) return;
    }
    block = std::max(behind, block + 1);
  }
  NoteComplete(inode);
}

Result<uint64_t> Hydrator::Impl::SkipHoles(Inode& inode, uint64_t from, uint64_t end) {
  const uint8_t shift = inode.state.block_shift;
  Result<uint64_t> stored = store->NextData(inode.id, inode.state, from);
  if (!stored.ok() && stored.code() != ENXIO) return stored.status();
  uint64_t stop = std::min(end, stored.ok() ? *stored : end);
  if (stop <= from) return from;
  const off_t data = ::lseek(inode.backing.get(), static_cast<off_t>(from << shift), SEEK_DATA);
  if (data < 0 && errno != ENXIO) return Status::FromErrno("look for data in a backing file");
  if (data >= 0) stop = std::min(stop, static_cast<uint64_t>(data) >> shift);
  inode.absent_blocks.Remove(from, stop);
  return std::max(from, stop);
}

// REQUIRES: all of [first, first + count) absent, at most kSpanBytes.
Status Hydrator::Impl::FillSpan(Inode& inode, uint64_t first, uint64_t count, Wanted wanted) {
  const size_t block_size = size_t{1} << inode.state.block_shift;
  if (file::IsHole(inode.backing.get(), first * block_size, count * block_size)) {
    return Reconstruct(inode, first, count, {}, wanted);
  }
  MutableBytes bytes = Room(&ThreadBuffers().span, count * block_size);
  DKFS_TRY_ASSIGN(const size_t n, file::ReadAt(inode.backing.get(), bytes, first * block_size, "backing file"));
  std::fill(bytes.begin() + static_cast<ptrdiff_t>(n), bytes.end(), std::byte{0});
  std::vector<bool> good(count, false);
  if (!IsAllZero(bytes)) DKFS_TRY(Verify(inode, first, bytes, &good));
  Status damage;
  for (uint64_t i = 0; i < count;) {
    uint64_t end = i + 1;
    while (end < count && good[end] == good[i]) ++end;
    if (good[i]) {
      inode.absent_blocks.Remove(first + i, first + end);
      verified.fetch_add(end - i, std::memory_order_relaxed);
    } else {
      Status made =
          Reconstruct(inode, first + i, end - i, Bytes(bytes).subspan(i * block_size, (end - i) * block_size), wanted);
      if (made.IsCorruption())
        damage = made;
      else if (!made.ok())
        return made;
    }
    i = end;
  }
  return damage;
}

// Which blocks the backing file has right. Bytes of the others that no version explains are kept aside.
Status Hydrator::Impl::Verify(Inode& inode, uint64_t first, MutableBytes bytes, std::vector<bool>* good) {
  const size_t block_size = size_t{1} << inode.state.block_shift;
  for (uint64_t i = 0; i < good->size(); ++i) {
    const Bytes block = Bytes(bytes).subspan(i * block_size, block_size);
    const uint64_t checksum = Hash64(block);
    Store::Newest newest;
    Status described = store->DescribeBlock(inode.id, inode.state, first + i, kLatest, &newest);
    if (described.code() == ENODATA) {
      (*good)[i] = Uncaptured(inode, first + i).ok();
      continue;
    }
    if (!described.ok() && !described.IsCorruption()) return described;
    (*good)[i] = described.ok() && newest.checksum == checksum;
    if ((*good)[i] || IsAllZero(block)) continue;
    Result<bool> explained = store->ExplainsBlock(inode.id, inode.state, first + i, kLatest, checksum);
    if (!explained.ok() && !explained.status().IsCorruption()) return explained.status();
    if (explained.ok() && *explained) continue;
    const uint64_t offset = (first + i) * block_size;
    const uint64_t length = std::min<uint64_t>(block_size, inode.state.size - offset);
    DKFS_TRY(aside.CopyBytes(DisplayPath(store, inode.id), offset, block.first(length)));
  }
  return Status::Ok();
}

// `before`: what the backing file holds of these blocks; empty: zeros.
Status Hydrator::Impl::Reconstruct(Inode& inode, uint64_t first, uint64_t count, Bytes before, Wanted wanted) {
  DKFS_TRY(Fault::Pass("hydrate.block"));
  const size_t block_size = size_t{1} << inode.state.block_shift;
  if (count == 1) {  // mostly somebody waits for it: asked of the index by its key, without a pass over a range
    MutableBytes block = Room(&ThreadBuffers().block, block_size);
    Store::Newest newest;
    Status read = store->ReadBlock(inode.id, inode.state, first, kLatest, block, &newest);
    const bool hole = read.ok() && newest.hole;
    return PutRun(inode, {first, 1, hole, std::move(read), block, nullptr}, before, wanted);
  }
  Status damage, failed;
  DKFS_TRY(store->ReadBlocks(
      inode.id, inode.state, first, count, kLatest, [&](const Store::BlockRun& run) NO_THREAD_SAFETY_ANALYSIS {
        const Bytes there =
            before.empty() ? before : before.subspan((run.first - first) * block_size, run.count * block_size);
        Status put = PutRun(inode, run, there, wanted);
        if (put.IsCorruption())
          damage = put;
        else if (!put.ok())
          failed = put;
        return failed.ok();
      }));
  return failed.ok() ? damage : failed;
}

Status Hydrator::Impl::PutRun(Inode& inode, const Store::BlockRun& run, Bytes before, Wanted wanted) {
  const size_t block_size = size_t{1} << inode.state.block_shift;
  const uint64_t offset = run.first * block_size;
  const uint64_t length = std::min<uint64_t>(run.count * block_size, inode.state.size - offset);
  if (run.status.code() == ENODATA) {
    Status damage;
    for (uint64_t i = 0; i < run.count; ++i) {
      Status s = Uncaptured(inode, run.first + i);
      if (s.ok())
        inode.absent_blocks.Remove(run.first + i, run.first + i + 1);
      else
        damage = s;
    }
    return damage;
  }
  if (!run.status.ok()) {
    if (!run.status.IsCorruption()) return run.status;
    for (uint64_t i = 0; i < run.count; ++i) NoteDamage(inode, run.first + i, run.status);
    return run.status;
  }
  if (!run.hole) {
    DKFS_TRY(Fault::Pass("backing.write"));
    constexpr uint64_t kStreamBytes = 128 << 10;  // less costs more to write at once than to keep for a while
    const auto write = wanted == Wanted::kSomeday && length >= kStreamBytes ? file::WriteStreamAt : file::WriteAt;
    DKFS_TRY(write(inode.backing.get(), run.data.first(length), offset, "backing file"));
  } else if (!IsAllZero(before)) {
    DKFS_TRY(ZeroBacking(inode.backing.get(), offset, length));
  }
  inode.absent_blocks.Remove(run.first, run.first + run.count);
  const bool stood = run.hole && IsAllZero(before);
  (stood ? verified : reconstructed).fetch_add(run.count, std::memory_order_relaxed);
  return Status::Ok();
}

// A block that is only in the backing file: Ok when that file is the one that was adopted.
Status Hydrator::Impl::Uncaptured(Inode& inode, uint64_t block) {
  if (inode.Believes(block)) return Status::Ok();
  Status lost = Status::Corruption("\"" + DisplayPath(store, inode.id) + "\" block " + std::to_string(block) +
                                   ": lost with the backing directory before it was captured");
  NoteDamage(inode, block, lost);
  return lost;
}

void Hydrator::Impl::NoteDamage(Inode& inode, uint64_t block, const Status& why) {
  constexpr size_t kMaxReported = 1 << 16;
  {
    MutexLock l(mutex);
    if (damaged.size() >= kMaxReported || !damaged.emplace(inode.id.value, block).second) return;
    ++counts.blocks_damaged;
  }
  Log(LogLevel::kError, "block_damaged",
      {{"path", DisplayPath(store, inode.id)},
       {"block", block},
       {"error", why.ToString()},
       {"hint", "reading it gives EIO; restore an older moment or write it anew"}});
}

void Hydrator::Impl::NoteComplete(Inode& inode) {
  if (inode.presence == Presence::kPartial && inode.absent_blocks.count() == 0) NoteToFill(inode);
}

void Hydrator::Impl::NoteToFill(Inode& inode) {
  MutexLock l(mutex);
  complete.push_back(inode.id);
  wake.SignalAll();
}

}  // namespace dkfs
