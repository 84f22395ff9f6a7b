// Content: open, read, write, fsync, allocate, copy, seek.
#include <sys/stat.h>
#include <unistd.h>

#include <memory>

#include "fs/fuse/operations.h"
#include "fs/fuse/page_buffer.h"
#include "fs/fuse/ring.h"

namespace dkfs {
namespace {

constexpr size_t kMaxCopyBytes = 1 << 20;  // FileSystem::CopyRange: one record
constexpr int kMostHandedOver = 8;         // holes, for one answer

void Read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, fuse_file_info*) {
  Serve(req, FuseOp::kRead, [&](FileSystem& fs, Reply& reply) {
    thread_local PageBuffer buffer;  // as long-lived as the worker: no allocation for a read
    RingPlace* place = CurrentRequest().place;
    const bool in_place = place != nullptr && size <= place->payload().size();
    MutableBytes out = in_place ? place->payload().first(size) : buffer.Get(size);
    Result<size_t> got = fs.Read(FileOf(ino), out, static_cast<uint64_t>(offset));
    got.ok() ? reply.Data(AsString(out.first(*got))) : reply.Error(got.status());
  });
}

// A write that takes set-id bits away changes the mode behind the kernel's back: it keeps the mode it has cached (and
// would run the file with it) unless told. Nearly all writes of ordinary users carry the flag, nearly no file has the
// bits.
bool HasSetIdBits(FileSystem& fs, FileId file) { return (fs.CachedMode(file) & (S_ISUID | S_ISGID)) != 0; }

void ForgetAttributes(fuse_req_t req, fuse_ino_t ino) {
  auto* connection = static_cast<Connection*>(fuse_req_userdata(req));
  int result = fuse_lowlevel_notify_inval_inode(connection->session, ino, /*off=*/-1, /*len=*/0);
  if (result != 0 && result != -ENOENT) {  // ENOENT: not cached
    Log(LogLevel::kWarn, "mode_not_refreshed",
        {{"ino", ino}, {"hint", "stat may show old set-id bits until the next chmod"}});
  }
}

// The kernel's offset counts even for O_APPEND: it holds the inode lock and knows the size, because only this mount
// changes it. (The file's O_APPEND flag would be wrong for written-back pages and for RWF_NOAPPEND.)
void Write(fuse_req_t req, fuse_ino_t ino, const char* data, size_t size, off_t offset, fuse_file_info* file) {
  const auto* raw = static_cast<const fuse_write_in*>(CurrentRequest().body);
  bool kill_suidgid = (raw->write_flags & FUSE_WRITE_KILL_SUIDGID) != 0;
  Serve(req, FuseOp::kWrite, [&](FileSystem& fs, Reply& reply) {
    bool loses_bits = kill_suidgid && HasSetIdBits(fs, FileOf(ino));
    Result<size_t> put = fs.Write(CallerOf(req), FileOf(ino), AsBytes({data, size}), static_cast<uint64_t>(offset),
                                  /*append=*/false, kill_suidgid, /*from_cache=*/file->writepage);
    if (loses_bits && put.ok()) ForgetAttributes(req, ino);
    auto* counts = static_cast<Connection*>(fuse_req_userdata(req))->counts;
    if (counts != nullptr && put.ok()) {
      counts->OnWrite(FileOf(ino), static_cast<uint64_t>(offset), *put, file->writepage);
    }
    put.ok() ? reply.Written(*put) : reply.Error(put.status());
  });
}

// Answered by whoever completes the barrier. The guard goes last.
struct OwedReply {
  OwedReply(Connection* connection, Reply taken) : guard(connection), reply(std::move(taken)) {}
  OwedGuard guard;
  Reply reply;
};

void SyncFile(fuse_req_t req, fuse_ino_t ino, FuseOp op) {
  auto* connection = static_cast<Connection*>(fuse_req_userdata(req));
  Serve(req, op, [&](FileSystem& fs, Reply& reply) {
    // A place can take no other request before it has answered this one.
    if (CurrentRequest().place != nullptr) return reply.Done(fs.FsyncAndWait(FileOf(ino)));
    auto owed = std::make_shared<OwedReply>(connection, std::move(reply));
    fs.Fsync(FileOf(ino), [owed = std::move(owed)](const Status& status) { owed->reply.Done(status); });
  });
}

void Fsync(fuse_req_t req, fuse_ino_t ino, int, fuse_file_info*) {
  auto* counts = static_cast<Connection*>(fuse_req_userdata(req))->counts;
  if (counts != nullptr) counts->OnFsync(FileOf(ino));
  SyncFile(req, ino, FuseOp::kFsync);
}
void FsyncDir(fuse_req_t req, fuse_ino_t ino, int, fuse_file_info*) { SyncFile(req, ino, FuseOp::kFsyncDir); }

void Allocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length, fuse_file_info*) {
  Serve(req, FuseOp::kAllocate, [&](FileSystem& fs, Reply& reply) {
    bool loses_bits = HasSetIdBits(fs, FileOf(ino));
    Status status =
        fs.Allocate(CallerOf(req), FileOf(ino), mode, static_cast<uint64_t>(offset), static_cast<uint64_t>(length));
    if (loses_bits && status.ok()) ForgetAttributes(req, ino);
    reply.Done(status);
  });
}

void CopyRange(fuse_req_t req, fuse_ino_t from, off_t from_offset, fuse_file_info*, fuse_ino_t to, off_t to_offset,
               fuse_file_info*, size_t length, int flags) {
  Serve(req, FuseOp::kCopyRange, [&](FileSystem& fs, Reply& reply) {
    if (flags != 0) return reply.Error(Status::Error(EINVAL));
    bool loses_bits = HasSetIdBits(fs, FileOf(to));
    Result<size_t> copied = fs.CopyRange(CallerOf(req), FileOf(from), static_cast<uint64_t>(from_offset), FileOf(to),
                                         static_cast<uint64_t>(to_offset), std::min(length, kMaxCopyBytes));
    if (loses_bits && copied.ok()) ForgetAttributes(req, to);
    copied.ok() ? reply.Written(*copied) : reply.Error(copied.status());
  });
}

// The kernel does not hand dirty pages over before it asks, so they would pass for a hole.
bool IsClean(Connection* connection, fuse_ino_t ino, const FileSystem::Sought& sought) {
  return connection->hand_over && connection->hand_over(FileOf(ino), sought.hole, sought.hole_end - sought.hole);
}

bool LiesIn(const FileSystem::Sought& sought, const FileSystem::Sought& clean) {
  return sought.hole >= sought.hole_end || (sought.hole >= clean.hole && sought.hole_end <= clean.hole_end);
}

void Seek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence, fuse_file_info*) {
  auto* connection = static_cast<Connection*>(fuse_req_userdata(req));
  Serve(req, FuseOp::kSeek, [&](FileSystem& fs, Reply& reply) {
    // Pages that are being handed over would look clean. The kernel takes every file for data from now on.
    if (!connection->awaits_writes) return reply.Error(Status::Error(ENOSYS));
    const auto from = static_cast<uint64_t>(offset);
    Result<FileSystem::Sought> found = fs.Seek(FileOf(ino), from, whence);
    // What was handed over may have filled the hole, and the answer rest on another one.
    FileSystem::Sought clean;
    for (int rounds = 0; found.ok() && !LiesIn(*found, clean); ++rounds) {
      // What is not known is data.
      if (rounds == kMostHandedOver || !IsClean(connection, ino, *found)) {
        return reply.Offset(whence == SEEK_DATA ? from : found->size);
      }
      clean = std::move(found).value();
      found = fs.Seek(FileOf(ino), from, whence);
    }
    if (!found.ok()) return reply.Error(found.status());
    found->at.ok() ? reply.Offset(*found->at) : reply.Error(found->at.status());
  });
}

}  // namespace

void SetContentOperations(fuse_lowlevel_ops* ops) {
  // No open: ENOSYS tells the kernel once that it need not ask, nor tell of closing. It keeps the pages over opens
  // then.
  ops->read = Read;
  ops->write = Write;
  ops->fsync = Fsync;
  ops->fsyncdir = FsyncDir;
  ops->fallocate = Allocate;
  ops->copy_file_range = CopyRange;
  ops->lseek = Seek;
}

}  // namespace dkfs
