// Making the index durable, never ahead of the journal (X2, X3).
//
//   apply what is queued -> [apply mutex: meta row, switch memtables] -> sync the journal up to it -> let it go to disk
#include "store/base/fault.h"
#include "store/index/index.h"

namespace dkfs {

Status Index::Flush(Journal* journal) {
  return Flush([journal](Seq seq) { return journal->Sync(seq); });
}

Status Index::Flush(const Sync& sync) {
  MutexLock lock(flush_mutex_);
  if (begun_) DKFS_TRY(FinishFlush(sync));
  DKFS_TRY(ApplyAll());
  DKFS_TRY(BeginFlush());
  return begun_ ? FinishFlush(sync) : Status::Ok();
}

Status Index::BeginFlush() {
  MutexLock lock(apply_mutex_);
  if (!dirty_) return Status::Ok();
  DKFS_TRY(Fault::Pass("index.flush"));
  KvBatch batch;
  batch.Put(Family::kMeta, "index", MetaRow());
  DKFS_TRY(kv_->Write(&batch));
  DKFS_TRY(kv_->BeginFlush());
  dirty_ = false;
  begun_ = applied();
  return Status::Ok();
}

Status Index::FinishFlush(const Sync& sync) {
  DKFS_TRY(sync(*begun_));
  DKFS_TRY(kv_->FinishFlush());
  flushed_.store(begun_->value, std::memory_order_release);
  begun_.reset();
  return Status::Ok();
}

}  // namespace dkfs
