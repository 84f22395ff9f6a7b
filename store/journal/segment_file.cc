#include "store/journal/segment_file.h"

#include <fcntl.h>
#include <sys/random.h>

#include <algorithm>

#include "store/base/fault.h"
#include "store/base/file.h"
#include "store/format/record.h"

namespace dkfs {
namespace {

// Written so, the page cache holds folios of this size; a write into one walks all its blocks (ext4), so small ones are
// cheap.
constexpr size_t kZeroBytes = 64 << 10;
constexpr uint64_t kDirtyBytes = 4 << 20;  // no more is left dirty: a sync of the journal must not queue behind it

constexpr std::string_view kReusePrefix = "reuse-";

Status WriteZeros(int fd, uint64_t from, uint64_t bytes, const std::string& name) {
  static const std::byte kZeros[kZeroBytes] = {};
  for (uint64_t at = from; at < bytes;) {
    const size_t n = static_cast<size_t>(std::min<uint64_t>(kZeroBytes, bytes - at));
    DKFS_TRY(file::WriteAt(fd, {kZeros, n}, at, name));
    at += n;
    if ((at - from) % kDirtyBytes == 0) DKFS_TRY(file::Datasync(fd, name));
  }
  return Status::Ok();
}

Status FillPrepared(int fd, const std::string& name, uint64_t bytes, bool zero) {
  DKFS_TRY(file::Allocate(fd, bytes, name));
  if (zero) DKFS_TRY(WriteZeros(fd, 0, bytes, name));
  return file::Sync(fd, name);
}

Status FillReopened(int fd, const std::string& name, uint64_t bytes) {
  file::DropCached(fd);  // what reading it left are large folios, see kZeroBytes
  DKFS_TRY_ASSIGN(const struct stat st, file::StatFd(fd, name));
  DKFS_TRY(file::Allocate(fd, bytes, name));
  DKFS_TRY(WriteZeros(fd, static_cast<uint64_t>(st.st_size), bytes, name));
  DKFS_TRY(WriteZeros(fd, kSegmentHeaderBytes, kSegmentHeaderBytes + kRecordHeaderBytes, name));  // no record yet
  return file::Sync(fd, name);
}

}  // namespace

Status SegmentFile::Datasync() {
  syncs_.fetch_add(1, std::memory_order_relaxed);
  MutexLock lock(sync_mutex_);
  bool skip = false;
  if (failed_.ok()) failed_ = Fault::PassSync("journal.sync", &skip);
  if (failed_.ok() && !skip) failed_ = file::Datasync(fd_.get(), name_);
  return failed_;
}

Status SegmentFile::Seal() {
  DKFS_TRY(Datasync());
  MutexLock lock(sync_mutex_);
  DKFS_TRY(Fault::Pass("journal.seal"));
  DKFS_TRY(file::Truncate(fd_.get(), end, name_));
  return failed_ = file::Sync(fd_.get(), name_);
}

Result<UniqueFd> PrepareFile(int dirfd, const std::string& name, uint64_t bytes, bool zero) {
  DKFS_TRY_ASSIGN(UniqueFd fd, file::Open(dirfd, name, O_RDWR | O_CREAT | O_TRUNC));
  file::KeepInPlace(fd.get());
  Status filled = FillPrepared(fd.get(), name, bytes, zero);
  if (filled.ok()) return fd;
  file::Unlink(dirfd, name).Ignore("a leftover is removed at the next open");
  return filled;
}

Result<UniqueFd> ReopenFile(int dirfd, const std::string& name, uint64_t bytes) {
  DKFS_TRY_ASSIGN(UniqueFd fd, file::Open(dirfd, name, O_RDWR));
  Status filled = FillReopened(fd.get(), name, bytes);
  if (filled.ok()) return fd;
  file::Unlink(dirfd, name).Ignore("a leftover is removed at the next open");
  return filled;
}

std::string ReuseName(SegmentId id) { return std::string(kReusePrefix) + std::to_string(id.value) + ".tmp"; }

bool IsReuseName(const std::string& name) { return name.starts_with(kReusePrefix) && name.ends_with(".tmp"); }

Result<std::shared_ptr<SegmentFile>> PublishSegment(int dirfd, const std::string& name, UniqueFd fd, uint64_t size,
                                                    const SegmentHeader& header) {
  const std::string segment = SegmentName(header.id, header.kind);
  DKFS_TRY(file::WriteAt(fd.get(), EncodeSegmentHeader(header), 0, segment));
  DKFS_TRY(file::Sync(fd.get(), segment));
  DKFS_TRY(Fault::Pass("journal.roll"));
  DKFS_TRY(file::Rename(dirfd, name, segment));
  DKFS_TRY(file::SyncDir(dirfd, "."));
  return std::make_shared<SegmentFile>(std::move(fd), header, size);
}

uint64_t RandomSalt() {
  uint64_t salt = 0;
  DKFS_CHECK(::getrandom(&salt, sizeof salt, 0) == sizeof salt);
  return salt;
}

}  // namespace dkfs
