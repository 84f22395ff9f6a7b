#include "store/kv/file_system.h"

#include "store/base/fault.h"
#include "store/kv/convert.h"

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
  StoreFile(std::unique_ptr<FSWritableFile> file, StoreFileSystem* fs)
      : FSWritableFileOwnerWrapper(std::move(file)), fs_(fs), size_(target()->GetFileSize(IOOptions(), nullptr)) {}

  IOStatus Append(const Slice& data, const IOOptions& options, IODebugContext* debug) override {
    return PositionedAppend(data, size_, options, debug);
  }
  IOStatus Append(const Slice& data, const IOOptions& options, const DataVerificationInfo&,
                  IODebugContext* debug) override {
    return PositionedAppend(data, size_, options, debug);
  }
  IOStatus PositionedAppend(const Slice& data, uint64_t offset, const IOOptions& options,
                            IODebugContext* debug) override {
    IOStatus status = fs_->Guard("kv.write", [&] { return target()->PositionedAppend(data, offset, options, debug); });
    if (status.ok()) size_ = offset + data.size();
    return status;
  }
  IOStatus PositionedAppend(const Slice& data, uint64_t offset, const IOOptions& options, const DataVerificationInfo&,
                            IODebugContext* debug) override {
    return PositionedAppend(data, offset, options, debug);
  }
  IOStatus Truncate(uint64_t size, const IOOptions& options, IODebugContext* debug) override {
    IOStatus status = fs_->Guard("kv.write", [&] { return target()->Truncate(size, options, debug); });
    if (status.ok()) size_ = size;
    return status;
  }
  IOStatus Sync(const IOOptions& options, IODebugContext* debug) override {
    return fs_->Guard("kv.sync", [&] { return target()->Sync(options, debug); });
  }
  IOStatus Fsync(const IOOptions& options, IODebugContext* debug) override {
    return fs_->Guard("kv.sync", [&] { return target()->Fsync(options, debug); });
  }
  IOStatus RangeSync(uint64_t offset, uint64_t bytes, const IOOptions& options, IODebugContext* debug) override {
    return fs_->Guard("kv.sync", [&] { return target()->RangeSync(offset, bytes, options, debug); });
  }

 private:
  StoreFileSystem* fs_;
  uint64_t size_;
};

class StoreDirectory : public rocksdb::FSDirectoryWrapper {
 public:
  StoreDirectory(std::unique_ptr<FSDirectory> target, StoreFileSystem* fs)
      : FSDirectoryWrapper(std::move(target)), fs_(fs) {}
  IOStatus Fsync(const IOOptions& options, IODebugContext* debug) override {
    return fs_->Guard("kv.sync", [&] { return FSDirectoryWrapper::Fsync(options, debug); });
  }
  IOStatus FsyncWithDirOptions(const IOOptions& options, IODebugContext* debug,
                               const rocksdb::DirFsyncOptions& how) override {
    return fs_->Guard("kv.sync", [&] { return FSDirectoryWrapper::FsyncWithDirOptions(options, debug, how); });
  }

 private:
  StoreFileSystem* fs_;
};

IOStatus Wrap(IOStatus status, std::unique_ptr<FSWritableFile>* file, StoreFileSystem* fs) {
  if (status.ok()) *file = std::make_unique<StoreFile>(std::move(*file), fs);
  return status;
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

IOStatus StoreFileSystem::Enter(std::string_view name) {
  if (refuse_.load(std::memory_order_relaxed)) return IOStatus::Aborted("closing");
  Status fault = Fault::Pass(name);
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

IOStatus StoreFileSystem::NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                                          std::unique_ptr<FSWritableFile>* file, IODebugContext* debug) {
  return Wrap(Guard("kv.write", [&] { return target()->NewWritableFile(path, options, file, debug); }), file, this);
}

IOStatus StoreFileSystem::ReopenWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                                             std::unique_ptr<FSWritableFile>* file, IODebugContext* debug) {
  return Wrap(Guard("kv.write", [&] { return target()->ReopenWritableFile(path, options, file, debug); }), file, this);
}

IOStatus StoreFileSystem::ReuseWritableFile(const std::string& path, const std::string& old_path,
                                            const rocksdb::FileOptions& options, std::unique_ptr<FSWritableFile>* file,
                                            IODebugContext* debug) {
  return Wrap(Guard("kv.write", [&] { return target()->ReuseWritableFile(path, old_path, options, file, debug); }),
              file, this);
}

IOStatus StoreFileSystem::NewDirectory(const std::string& path, const IOOptions& options,
                                       std::unique_ptr<FSDirectory>* directory, IODebugContext* debug) {
  IOStatus status = target()->NewDirectory(path, options, directory, debug);
  if (status.ok()) *directory = std::make_unique<StoreDirectory>(std::move(*directory), this);
  return status;
}

IOStatus StoreFileSystem::RenameFile(const std::string& from, const std::string& to, const IOOptions& options,
                                     IODebugContext* debug) {
  return Guard("kv.rename", [&] { return target()->RenameFile(from, to, options, debug); });
}

IOStatus StoreFileSystem::Truncate(const std::string& path, size_t size, const IOOptions& options,
                                   IODebugContext* debug) {
  return Guard("kv.write", [&] { return target()->Truncate(path, size, options, debug); });
}

}  // namespace dkfs
