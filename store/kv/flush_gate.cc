#include "store/kv/flush_gate.h"

#include "store/kv/convert.h"

namespace dkfs {

void FlushGate::Close() {
  MutexLock lock(mutex_);
  open_ = false;
}

void FlushGate::Open() {
  MutexLock lock(mutex_);
  open_ = true;
  changed_.SignalAll();
}

Status FlushGate::failure() const {
  MutexLock lock(mutex_);
  return failure_;
}

void FlushGate::Wake() {
  MutexLock lock(mutex_);
  ++events_;
  changed_.SignalAll();
}

Status FlushGate::compaction_failure() const {
  MutexLock lock(mutex_);
  return compaction_failure_;
}

uint64_t FlushGate::events() const {
  MutexLock lock(mutex_);
  return events_;
}

void FlushGate::WaitBeyond(uint64_t seen) {
  MutexLock lock(mutex_);
  while (events_ == seen) changed_.Wait(mutex_);
}

void FlushGate::OnFlushBegin(rocksdb::DB*, const rocksdb::FlushJobInfo&) {
  MutexLock lock(mutex_);
  while (!open_) changed_.Wait(mutex_);
}

void FlushGate::OnFlushCompleted(rocksdb::DB*, const rocksdb::FlushJobInfo&) { Wake(); }

void FlushGate::OnCompactionCompleted(rocksdb::DB*, const rocksdb::CompactionJobInfo& info) {
  if (!info.status.ok()) return;  // OnBackgroundError hears of it
  MutexLock lock(mutex_);
  compaction_failure_ = Status::Ok();
}

void FlushGate::OnBackgroundError(rocksdb::BackgroundErrorReason reason, rocksdb::Status* error) {
  Status failure = FromRocks(*error, "writing to disk");
  MutexLock lock(mutex_);
  // From a hard error on, a compaction over a damaged table for one, RocksDB does nothing any more: no flush either.
  const bool stops = error->severity() >= rocksdb::Status::Severity::kHardError;
  if (reason == rocksdb::BackgroundErrorReason::kCompaction && !stops) {
    compaction_failure_ = failure;
  } else if (failure_.ok()) {
    failure_ = failure;
  }
  ++events_;
  changed_.SignalAll();
}

// RocksDB's own recovery flushes all memtables, whether or not the journal has synced what they hold.
void FlushGate::OnErrorRecoveryBegin(rocksdb::BackgroundErrorReason, rocksdb::Status error, bool* auto_recovery) {
  error.PermitUncheckedError();
  *auto_recovery = false;
}

}  // namespace dkfs
