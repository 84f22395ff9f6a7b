#include "fs/fuse/reply.h"

#include "fs/fuse/low_level.h"
#include "store/base/clock.h"
#include "store/base/fault.h"
#include "store/base/log.h"

namespace dkfs {
namespace {

constexpr uint32_t kPreferredIoBytes = 4096;

fuse_entry_param EntryOf(const Attr& attr) {
  fuse_entry_param entry{};
  entry.ino = attr.file.value;
  entry.attr = StatOf(attr);
  entry.attr_timeout = kForeverSeconds;
  entry.entry_timeout = kForeverSeconds;
  return entry;
}

timespec TimeOf(TimeSpec t) { return {static_cast<time_t>(t.sec), static_cast<long>(t.nsec)}; }

// A reply that cannot be delivered (ENOENT: the request was aborted meanwhile; ENODEV: unmounted) has nobody to be
// told.
void Sent(int /*result*/) {}

}  // namespace

int ErrnoOf(const Status& status) { return status.IsCorruption() ? EIO : status.code(); }

struct stat StatOf(const Attr& attr) {
  struct stat st {};
  st.st_ino = attr.file.value;
  st.st_mode = attr.state.mode;
  st.st_nlink = attr.state.nlink;
  st.st_uid = attr.state.uid;
  st.st_gid = attr.state.gid;
  if (!S_ISREG(attr.state.mode)) st.st_rdev = attr.state.rdev;
  st.st_size = static_cast<off_t>(attr.state.size);
  st.st_blksize = kPreferredIoBytes;
  st.st_blocks = static_cast<blkcnt_t>(attr.blocks);
  st.st_atim = TimeOf(attr.state.atime);
  st.st_mtim = TimeOf(attr.state.mtime);
  st.st_ctim = TimeOf(attr.state.ctime);
  return st;
}

Reply::Reply(fuse_req* request, FuseOp op, RequestStats* stats)
    : request_(request), stats_(stats), started_ns_(MonotonicNs()), op_(op) {}

Reply::Reply(Reply&& other) noexcept
    : request_(std::exchange(other.request_, nullptr)),
      stats_(other.stats_),
      started_ns_(other.started_ns_),
      op_(other.op_) {}

Reply::~Reply() {
  if (answered()) return;
  Log(LogLevel::kError, "request_forgotten",
      {{"op", FuseOpName(op_)}, {"hint", "a bug in dkfs: the caller got EIO; please report it"}});
  Done(Status::Error(EIO));
}

fuse_req* Reply::Take(bool error) {
  DKFS_CHECK(request_ != nullptr);  // an answered request's memory is gone
  Fault::Pass("ops.reply").Ignore("it is done: only kill and pause mean something here");
  stats_->Record(op_, MonotonicNs() - started_ns_, error);
  return std::exchange(request_, nullptr);
}

void Reply::Done(const Status& status) {
  if (!status.ok() && LogEnabled(LogLevel::kDebug)) {
    Log(LogLevel::kDebug, "request_failed", {{"op", FuseOpName(op_)}, {"error", status.ToString()}});
  }
  Sent(fuse_reply_err(Take(!status.ok()), ErrnoOf(status)));
}

void Reply::None() { fuse_reply_none(Take(false)); }

void Reply::Entry(const Attr& attr) {
  fuse_entry_param entry = EntryOf(attr);
  Sent(fuse_reply_entry(Take(false), &entry));
}

void Reply::NegativeEntry() {
  fuse_entry_param entry{};
  entry.entry_timeout = kForeverSeconds;
  Sent(fuse_reply_entry(Take(true), &entry));
}

void Reply::Attributes(const Attr& attr) {
  struct stat st = StatOf(attr);
  Sent(fuse_reply_attr(Take(false), &st, kForeverSeconds));
}

void Reply::Created(const Attr& attr, const fuse_file_info& file) {
  fuse_entry_param entry = EntryOf(attr);
  Sent(fuse_reply_create(Take(false), &entry, &file));
}

void Reply::Data(std::string_view bytes) { Sent(fuse_reply_buf(Take(false), bytes.data(), bytes.size())); }
void Reply::Link(const std::string& target) { Sent(fuse_reply_readlink(Take(false), target.c_str())); }
void Reply::Written(size_t bytes) { Sent(fuse_reply_write(Take(false), bytes)); }
void Reply::XattrSize(size_t bytes) { Sent(fuse_reply_xattr(Take(false), bytes)); }
void Reply::FileSystemStat(const struct statvfs& st) { Sent(fuse_reply_statfs(Take(false), &st)); }
void Reply::Offset(uint64_t offset) { Sent(fuse_reply_lseek(Take(false), static_cast<off_t>(offset))); }

}  // namespace dkfs
