#include "store/kv/file_system.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "store/base/fault.h"
#include "store/kv/convert.h"
#include "store/kv/table_end.h"

namespace dkfs {
namespace {

using rocksdb::DataVerificationInfo;
using rocksdb::FSDirectory;
using rocksdb::FSWritableFile;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

// Appends are written at a place, so that one cut short by a full disk can be repeated.
class StoreFile : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  StoreFile(std::unique_ptr<FSWritableFile> file, StoreFileSystem* fs, std::string path)
      : FSWritableFileOwnerWrapper(std::move(file)),
        fs_(fs),
        path_(std::move(path)),
        size_(target()->GetFileSize(IOOptions(), nullptr)) {}

  IOStatus Append(const Slice& data, const IOOptions& options, IODebugContext* debug) override {
    return PositionedAppend(data, size_, options, debug);
  }
  IOStatus Append(const Slice& data, const IOOptions& options, const DataVerificationInfo&,
                  IODebugContext* debug) override {
    return PositionedAppend(data, size_, options, debug);
  }
  IOStatus PositionedAppend(const Slice& data, uint64_t offset, const IOOptions& options,
                            IODebugContext* debug) override {
    IOStatus status = fs_->Guard("kv.write", [&] {
      const IoTrace::Scope trace;
      IOStatus written = target()->PositionedAppend(data, offset, options, debug);
      if (written.ok()) trace.Wrote(path_, AsBytes({data.data(), data.size()}), offset);
      return written;
    });
    if (status.ok()) size_ = offset + data.size();
    return status;
  }
  IOStatus PositionedAppend(const Slice& data, uint64_t offset, const IOOptions& options, const DataVerificationInfo&,
                            IODebugContext* debug) override {
    return PositionedAppend(data, offset, options, debug);
  }
  IOStatus Truncate(uint64_t size, const IOOptions& options, IODebugContext* debug) override {
    IOStatus status = fs_->Guard("kv.write", [&] {
      const IoTrace::Scope trace;
      IOStatus cut = target()->Truncate(size, options, debug);
      if (cut.ok()) trace.Truncated(path_, size);
      return cut;
    });
    if (status.ok()) size_ = size;
    return status;
  }
  IOStatus Sync(const IOOptions& options, IODebugContext* debug) override {
    return fs_->GuardSync("kv.sync", IoTrace::Sync::What::kFile, path_, [&] { return target()->Sync(options, debug); });
  }
  IOStatus Fsync(const IOOptions& options, IODebugContext* debug) override {
    return fs_->GuardSync("kv.sync", IoTrace::Sync::What::kFile, path_,
                          [&] { return target()->Fsync(options, debug); });
  }
  // Makes nothing durable.
  IOStatus RangeSync(uint64_t offset, uint64_t bytes, const IOOptions& options, IODebugContext* debug) override {
    return fs_->Guard("kv.sync", [&] { return target()->RangeSync(offset, bytes, options, debug); });
  }

 private:
  StoreFileSystem* fs_;
  const std::string path_;
  uint64_t size_;
};

class StoreDirectory : public rocksdb::FSDirectoryWrapper {
 public:
  StoreDirectory(std::unique_ptr<FSDirectory> target, StoreFileSystem* fs, std::string path)
      : FSDirectoryWrapper(std::move(target)), fs_(fs), path_(std::move(path)) {}
  IOStatus Fsync(const IOOptions& options, IODebugContext* debug) override {
    return fs_->GuardSync("kv.sync", IoTrace::Sync::What::kDir, path_,
                          [&] { return FSDirectoryWrapper::Fsync(options, debug); });
  }
  IOStatus FsyncWithDirOptions(const IOOptions& options, IODebugContext* debug,
                               const rocksdb::DirFsyncOptions& how) override {
    return fs_->GuardSync("kv.sync", IoTrace::Sync::What::kDir, path_,
                          [&] { return FSDirectoryWrapper::FsyncWithDirOptions(options, debug, how); });
  }

 private:
  StoreFileSystem* fs_;
  const std::string path_;
};

IOStatus Wrap(IOStatus status, std::unique_ptr<FSWritableFile>* file, StoreFileSystem* fs, const std::string& path) {
  if (status.ok()) *file = std::make_unique<StoreFile>(std::move(*file), fs, path);
  return status;
}

// RocksDB would wait for the other end of a fifo.
IOStatus RefuseStrange(const std::string& path) {
  struct stat st {};
  if (::stat(path.c_str(), &st) != 0 || S_ISREG(st.st_mode)) return IOStatus::OK();  // opening says why there is none
  return IOStatus::Corruption(path + ": not a file");
}

IOStatus CheckEnd(const std::string& path, const rocksdb::FSRandomAccessFile& table) {
  struct stat st {};
  if (::stat(path.c_str(), &st) != 0) return IOStatus::IOError(Status::FromErrno(path).ToString());
  IOStatus failed;
  const Status end = CheckTableEnd(static_cast<uint64_t>(st.st_size), [&](uint64_t at, size_t bytes) {
    std::string room(bytes, '\0');
    Slice got;
    failed = table.Read(at, bytes, IOOptions(), &got, room.data(), nullptr);
    if (failed.ok() && got.size() == bytes) return Result<std::string>(got.ToString());
    return Result<std::string>(Status::Corruption("cut short"));
  });
  if (!failed.ok() || end.ok()) return failed;
  return IOStatus::Corruption(path + ": damaged end: " + end.ToString());
}

// Writes beside write(2) and its kin would be traced too late or not at all.
void CheckWrites(const rocksdb::FileOptions& options) {
  DKFS_CHECK(!options.use_mmap_writes && !options.use_direct_writes);
}

}  // namespace

void StoreFileSystem::WaitForSpaceFromNowOn(std::function<void()> on_stall) {
  MutexLock lock(mutex_);
  on_stall_ = std::move(on_stall);
}

bool StoreFileSystem::stalled() const {
  MutexLock lock(mutex_);
  return stalled_;
}

void StoreFileSystem::TryAgain() {
  MutexLock lock(mutex_);
  stalled_ = false;
  ++round_;
  changed_.SignalAll();
}

void StoreFileSystem::Refuse() {
  refuse_ = true;
  TryAgain();
}

IOStatus StoreFileSystem::Enter(std::string_view name, bool* skip) {
  if (refuse_.load(std::memory_order_relaxed)) return IOStatus::Aborted("closing");
  bool unused;
  Status fault = Fault::PassSync(name, skip == nullptr ? &unused : skip);
  if (fault.ok()) return IOStatus::OK();
  return fault.code() == ENOSPC ? IOStatus::NoSpace(fault.ToString()) : IOStatus::IOError(fault.ToString());
}

bool StoreFileSystem::WaitForSpace(const IOStatus& status) {
  if (!status.IsNoSpace()) return false;
  std::function<void()> on_stall;
  uint64_t round = 0;
  {
    MutexLock lock(mutex_);
    if (!on_stall_) return false;
    stalled_ = true;
    round = round_;
    on_stall = on_stall_;
  }
  on_stall();
  MutexLock lock(mutex_);
  while (round_ == round && !refuse_) changed_.Wait(mutex_);
  return true;
}

IOStatus StoreFileSystem::Leave(IOStatus status) {
  if (status.ok()) return status;
  int none = 0;
  if (!refuse_) error_.compare_exchange_strong(none, status.IsNoSpace() ? ENOSPC : EIO);
  IOStatus disguised = IOStatus::IOError(status.ToString());
  disguised.SetRetryable(true);
  return disguised;
}

IOStatus StoreFileSystem::NewSequentialFile(const std::string& path, const rocksdb::FileOptions& options,
                                            std::unique_ptr<rocksdb::FSSequentialFile>* file, IODebugContext* debug) {
  IOStatus strange = RefuseStrange(path);
  return strange.ok() ? target()->NewSequentialFile(path, options, file, debug) : strange;
}

IOStatus StoreFileSystem::NewRandomAccessFile(const std::string& path, const rocksdb::FileOptions& options,
                                              std::unique_ptr<rocksdb::FSRandomAccessFile>* file,
                                              IODebugContext* debug) {
  IOStatus status = RefuseStrange(path);
  if (status.ok()) status = target()->NewRandomAccessFile(path, options, file, debug);
  if (status.ok() && path.ends_with(".sst")) status = CheckEnd(path, **file);
  if (!status.ok()) file->reset();
  return status;
}

IOStatus StoreFileSystem::NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                                          std::unique_ptr<FSWritableFile>* file, IODebugContext* debug) {
  CheckWrites(options);
  IOStatus made = Guard("kv.write", [&] {
    const IoTrace::Scope trace;
    IOStatus status = target()->NewWritableFile(path, options, file, debug);  // takes the place of an old one
    if (status.ok()) trace.Created(path);
    return status;
  });
  return Wrap(std::move(made), file, this, path);
}

IOStatus StoreFileSystem::ReopenWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                                             std::unique_ptr<FSWritableFile>* file, IODebugContext* debug) {
  CheckWrites(options);
  IOStatus made = Guard("kv.write", [&] {
    const IoTrace::Scope trace;
    const bool existed = target()->FileExists(path, IOOptions(), debug).ok();
    IOStatus status = target()->ReopenWritableFile(path, options, file, debug);
    if (status.ok() && !existed) trace.Created(path);
    return status;
  });
  return Wrap(std::move(made), file, this, path);
}

IOStatus StoreFileSystem::ReuseWritableFile(const std::string& path, const std::string& old_path,
                                            const rocksdb::FileOptions& options, std::unique_ptr<FSWritableFile>* file,
                                            IODebugContext* debug) {
  CheckWrites(options);
  IOStatus made = Guard("kv.write", [&] {
    const IoTrace::Scope trace;
    IOStatus status = target()->ReuseWritableFile(path, old_path, options, file, debug);
    if (status.ok()) trace.Renamed(AT_FDCWD, old_path, path);
    return status;
  });
  return Wrap(std::move(made), file, this, path);
}

IOStatus StoreFileSystem::NewRandomRWFile(const std::string&, const rocksdb::FileOptions&,
                                          std::unique_ptr<rocksdb::FSRandomRWFile>*, IODebugContext*) {
  return IOStatus::NotSupported("writing at random");
}

IOStatus StoreFileSystem::NewMemoryMappedFileBuffer(const std::string&,
                                                    std::unique_ptr<rocksdb::MemoryMappedFileBuffer>*) {
  return IOStatus::NotSupported("writing through a mapping");
}

IOStatus StoreFileSystem::NewDirectory(const std::string& path, const IOOptions& options,
                                       std::unique_ptr<FSDirectory>* directory, IODebugContext* debug) {
  IOStatus status = target()->NewDirectory(path, options, directory, debug);
  if (status.ok()) *directory = std::make_unique<StoreDirectory>(std::move(*directory), this, path);
  return status;
}

IOStatus StoreFileSystem::RenameFile(const std::string& from, const std::string& to, const IOOptions& options,
                                     IODebugContext* debug) {
  return Guard("kv.rename", [&] {
    const IoTrace::Scope trace;
    IOStatus status = target()->RenameFile(from, to, options, debug);
    if (status.ok()) trace.Renamed(AT_FDCWD, from, to);
    return status;
  });
}

IOStatus StoreFileSystem::Truncate(const std::string& path, size_t size, const IOOptions& options,
                                   IODebugContext* debug) {
  return Guard("kv.write", [&] {
    const IoTrace::Scope trace;
    IOStatus status = target()->Truncate(path, size, options, debug);
    if (status.ok()) trace.Truncated(path, size);
    return status;
  });
}

IOStatus StoreFileSystem::LinkFile(const std::string& from, const std::string& to, const IOOptions& options,
                                   IODebugContext* debug) {
  const IoTrace::Scope trace;
  IOStatus status = target()->LinkFile(from, to, options, debug);
  if (status.ok()) trace.Linked(from, to);
  return status;
}

IOStatus StoreFileSystem::DeleteFile(const std::string& path, const IOOptions& options, IODebugContext* debug) {
  const IoTrace::Scope trace;
  IOStatus status = target()->DeleteFile(path, options, debug);
  if (status.ok()) trace.Named(IoOp::kUnlink, AT_FDCWD, path);
  return status;
}

IOStatus StoreFileSystem::CreateDir(const std::string& path, const IOOptions& options, IODebugContext* debug) {
  const IoTrace::Scope trace;
  IOStatus status = target()->CreateDir(path, options, debug);
  if (status.ok()) trace.Named(IoOp::kMakeDir, AT_FDCWD, path);
  return status;
}

IOStatus StoreFileSystem::CreateDirIfMissing(const std::string& path, const IOOptions& options, IODebugContext* debug) {
  const IoTrace::Scope trace;
  const bool existed = target()->FileExists(path, options, debug).ok();
  IOStatus status = target()->CreateDirIfMissing(path, options, debug);
  if (status.ok() && !existed) trace.Named(IoOp::kMakeDir, AT_FDCWD, path);
  return status;
}

IOStatus StoreFileSystem::DeleteDir(const std::string& path, const IOOptions& options, IODebugContext* debug) {
  const IoTrace::Scope trace;
  IOStatus status = target()->DeleteDir(path, options, debug);
  if (status.ok()) trace.Named(IoOp::kRemoveDir, AT_FDCWD, path);
  return status;
}

}  // namespace dkfs
