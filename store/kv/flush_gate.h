// FlushGate: lets a flush that RocksDB has begun wait until it may go to disk, and tells how it ended.
// RocksDB calls the listener without its own locks, from its background threads. Thread-safe.
#pragma once

#include <rocksdb/listener.h>

#include "store/base/mutex.h"
#include "store/base/status.h"

namespace dkfs {

class FlushGate : public rocksdb::EventListener {
 public:
  void Close() EXCLUDES(mutex_);  // flushes that begin from now on wait
  void Open() EXCLUDES(mutex_);
  Status failure() const EXCLUDES(mutex_);             // why nothing is flushed any more, or Ok; sticky
  Status compaction_failure() const EXCLUDES(mutex_);  // why the last compaction failed, or Ok; RocksDB tries again
  void Wake() EXCLUDES(mutex_);                        // counts as an event
  uint64_t events() const EXCLUDES(mutex_);
  // Returns when something ended, failed or woke after `seen` was taken from events().
  void WaitBeyond(uint64_t seen) EXCLUDES(mutex_);

  const char* Name() const override { return "dkfs.FlushGate"; }
  void OnFlushBegin(rocksdb::DB* db, const rocksdb::FlushJobInfo& info) override EXCLUDES(mutex_);
  void OnFlushCompleted(rocksdb::DB* db, const rocksdb::FlushJobInfo& info) override EXCLUDES(mutex_);
  void OnCompactionCompleted(rocksdb::DB* db, const rocksdb::CompactionJobInfo& info) override EXCLUDES(mutex_);
  void OnBackgroundError(rocksdb::BackgroundErrorReason reason, rocksdb::Status* error) override EXCLUDES(mutex_);
  void OnErrorRecoveryBegin(rocksdb::BackgroundErrorReason reason, rocksdb::Status error, bool* auto_recovery) override;

 private:
  mutable Mutex mutex_;
  CondVar changed_;
  bool open_ GUARDED_BY(mutex_) = true;
  Status failure_ GUARDED_BY(mutex_);
  Status compaction_failure_ GUARDED_BY(mutex_);
  uint64_t events_ GUARDED_BY(mutex_) = 0;
};

}  // namespace dkfs
