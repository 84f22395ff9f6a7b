// StoreFileSystem: all of RocksDB's writing, syncing and renaming passes through here, so that tests can fail it
// and trace it.
//
// A full disk is not an error to RocksDB (after one it flushes what nobody allowed, or never again): the background
// thread whose write meets ENOSPC waits here until somebody calls TryAgain, and then repeats that write at its place.
// A sync that fails, whatever the errno, is never repeated (the kernel may have dropped what it could not write), and
// RocksDB syncs its directory while it holds the mutex that every reader needs.
// Any other failure reaches RocksDB as a retryable i/o error: after that it flushes nothing more, keeps its memtables
// and goes on serving; the errno is kept here. Thread-safe.
//
// What is opened for reading must be an ordinary file, and a table's end is checked (table_end.h); else Corruption.
#pragma once

#include <rocksdb/file_system.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "store/base/io_trace.h"
#include "store/base/mutex.h"
#include "store/base/status.h"

namespace dkfs {

class StoreFileSystem : public rocksdb::FileSystemWrapper {
 public:
  // NOLINTNEXTLINE(performance-move-const-arg): newer RocksDB takes it by value
  explicit StoreFileSystem(std::shared_ptr<rocksdb::FileSystem> target) : FileSystemWrapper(std::move(target)) {}
  const char* Name() const override { return "dkfs.StoreFileSystem"; }

  // Until then ENOSPC is answered as an error. `on_stall` is called, without a lock, whenever a thread begins to wait.
  void WaitForSpaceFromNowOn(std::function<void()> on_stall) EXCLUDES(mutex_);
  bool stalled() const EXCLUDES(mutex_);  // some thread waits for space
  void TryAgain() EXCLUDES(mutex_);
  // From now on every write fails untried: nothing more may become durable.
  void Refuse() EXCLUDES(mutex_);
  int error() const { return error_; }  // the errno of the first failed write; 0: none failed

  // Passes fault point `name`, then calls `call`, until it succeeds or fails for good.
  template <class Call>
  rocksdb::IOStatus Guard(std::string_view name, const Call& call) EXCLUDES(mutex_) {
    for (;;) {
      rocksdb::IOStatus status = Enter(name);
      if (status.ok()) status = call();
      if (status.ok() || !WaitForSpace(status)) return Leave(std::move(status));
    }
  }

  // A sync, which the trace sees begin and end. Never waits.
  template <class Call>
  rocksdb::IOStatus GuardSync(std::string_view name, IoTrace::Sync::What what, const std::string& path,
                              const Call& call) EXCLUDES(mutex_) {
    bool skip = false;
    rocksdb::IOStatus status = Enter(name, &skip);
    if (status.ok() && !skip) {
      const IoTrace::Sync trace(what, path);
      status = call();
      if (status.ok()) trace.Ended();
    }
    if (status.IsNoSpace()) status = rocksdb::IOStatus::IOError(status.ToString());  // space will not mend it
    return Leave(std::move(status));
  }

  rocksdb::IOStatus NewSequentialFile(const std::string& path, const rocksdb::FileOptions& options,
                                      std::unique_ptr<rocksdb::FSSequentialFile>* file,
                                      rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus NewRandomAccessFile(const std::string& path, const rocksdb::FileOptions& options,
                                        std::unique_ptr<rocksdb::FSRandomAccessFile>* file,
                                        rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSWritableFile>* file,
                                    rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus ReopenWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                                       std::unique_ptr<rocksdb::FSWritableFile>* file,
                                       rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus ReuseWritableFile(const std::string& path, const std::string& old_path,
                                      const rocksdb::FileOptions& options,
                                      std::unique_ptr<rocksdb::FSWritableFile>* file,
                                      rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus NewDirectory(const std::string& path, const rocksdb::IOOptions& options,
                                 std::unique_ptr<rocksdb::FSDirectory>* directory,
                                 rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus RenameFile(const std::string& from, const std::string& to, const rocksdb::IOOptions& options,
                               rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus Truncate(const std::string& path, size_t size, const rocksdb::IOOptions& options,
                             rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus LinkFile(const std::string& from, const std::string& to, const rocksdb::IOOptions& options,
                             rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus DeleteFile(const std::string& path, const rocksdb::IOOptions& options,
                               rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus CreateDir(const std::string& path, const rocksdb::IOOptions& options,
                              rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus CreateDirIfMissing(const std::string& path, const rocksdb::IOOptions& options,
                                       rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus DeleteDir(const std::string& path, const rocksdb::IOOptions& options,
                              rocksdb::IODebugContext* debug) override;
  // Ways of writing that nothing here uses and that this layer would not see.
  rocksdb::IOStatus NewRandomRWFile(const std::string& path, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSRandomRWFile>* file,
                                    rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus NewMemoryMappedFileBuffer(const std::string& path,
                                              std::unique_ptr<rocksdb::MemoryMappedFileBuffer>* buffer) override;

 private:
  rocksdb::IOStatus Enter(std::string_view name, bool* skip = nullptr);
  bool WaitForSpace(const rocksdb::IOStatus& status) EXCLUDES(mutex_);  // true: try again
  rocksdb::IOStatus Leave(rocksdb::IOStatus status);

  std::atomic<bool> refuse_{false};
  std::atomic<int> error_{0};
  mutable Mutex mutex_;
  CondVar changed_;
  std::function<void()> on_stall_ GUARDED_BY(mutex_);
  uint64_t round_ GUARDED_BY(mutex_) = 0;  // raised by TryAgain
  bool stalled_ GUARDED_BY(mutex_) = false;
};

}  // namespace dkfs
