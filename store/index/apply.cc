// From the queue into the memtables.
#include <algorithm>

#include "store/base/fault.h"
#include "store/index/index.h"
#include "store/index/rows.h"

namespace dkfs {
namespace {

constexpr uint64_t kChunkBytes = 256 << 10;  // of queue, a batch: whoever applies holds the mutex for about 1 ms
constexpr size_t kBatchBytes = 1 << 20;      // one record may make more rows than that, and is still one batch

bool IsNameTombstone(const Item& item) {
  const auto* name = std::get_if<NameItem>(&item.body);
  return name != nullptr && !name->child;
}

}  // namespace

Status Index::ApplyAll() { return Fresh(); }

Status Index::Fresh() {
  if (applied_records_.load(std::memory_order_acquire) == enqueued_.load(std::memory_order_acquire))
    return Status::Ok();
  return Apply(kLatest);
}

Status Index::ApplyThrough(Seq seq) { return applied() >= seq ? Status::Ok() : Apply(seq); }

Status Index::Apply(Seq through) {
  const uint64_t target = enqueued_.load(std::memory_order_acquire);  // what comes later is somebody else's
  MutexLock lock(apply_mutex_);
  while (applied_records_.load(std::memory_order_relaxed) < target && applied() < through) DKFS_TRY(ApplyChunk());
  return Status::Ok();
}

void Index::Take(Chunk* chunk) {
  uint64_t bytes = 0;
  MutexLock lock(queue_mutex_);
  while (!queue_.empty() && bytes < kChunkBytes) {
    bytes += queue_.front().bytes;
    chunk->push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  applying_ = chunk;
}

void Index::PutBack(Chunk* chunk) {
  MutexLock lock(queue_mutex_);
  applying_ = nullptr;
  while (!chunk->empty()) {
    queue_.push_front(std::move(chunk->back()));
    chunk->pop_back();
  }
}

Status Index::ApplyChunk() {
  DKFS_TRY(Fault::Pass("index.apply"));
  Chunk chunk;  // freed when this returns, outside the queue's mutex
  Take(&chunk);
  const TimeSpec last_time = last_time_;
  Status status = ApplyRecords(chunk);
  if (!status.ok()) {
    last_time_ = last_time;
    PutBack(&chunk);
    return status;
  }
  {
    MutexLock lock(queue_mutex_);
    applying_ = nullptr;
  }
  uint64_t bytes = 0;
  Seq last = applied();
  for (const Queued& record : chunk) {
    bytes += record.bytes;
    last = std::max(last, record.at.seq);
    pending_.Remove(record.items, record.at.kind == SegmentKind::kPack);
    if (record.at.kind != SegmentKind::kJournal) continue;
    position_ = {record.at.seq, record.at.segment, uint64_t{record.at.offset} + record.at.length};
  }
  queued_bytes_ -= bytes;
  applied_.store(last.value, std::memory_order_release);
  applied_records_.fetch_add(chunk.size(), std::memory_order_release);
  return Status::Ok();
}

Status Index::ApplyRecords(const Chunk& chunk) {
  KvBatch batch;
  for (const Queued& record : chunk) {
    DKFS_TRY(ApplyRecord(record, &batch));
    if (batch.bytes() > kBatchBytes) DKFS_TRY(WriteOut(&batch));
  }
  DKFS_TRY(WriteOut(&batch));
  for (const Queued& record : chunk) Forget(record);
  return Status::Ok();
}

void Index::Forget(const Queued& record) {
  bool back = record.at.kind == SegmentKind::kPack;  // entries and ranges of former records may come back
  for (const Item& item : record.items) {
    back = back || std::holds_alternative<VoidItem>(item.body);
    if (IsNameTombstone(item)) dead_.Ended(std::get<NameItem>(item.body).parent);
    if (const auto* range = std::get_if<RangeItem>(&item.body)) range_maps_.Forget(range->file, record.at.seq);
  }
  if (!back) return;
  dead_.Forget();
  range_maps_.ForgetAll();
}

Status Index::WriteOut(KvBatch* batch) {
  if (batch->count() == 0) return Status::Ok();
  dirty_ = true;
  DKFS_TRY(kv_->Write(batch));
  batch->Clear();
  return Status::Ok();
}

// Tombstones of names first: where a record ends one entry of a name and makes another, the new one counts.
Status Index::ApplyRecord(const Queued& record, KvBatch* batch) {
  const RowSink put = [batch](Family family, std::string_view key, std::string_view value) {
    batch->Put(family, key, value);
  };
  std::string_view references = record.references;
  if (record.at.kind == SegmentKind::kJournal) ApplyMoment(record.at, batch);
  if (record.at.kind == SegmentKind::kPack) {
    DKFS_TRY(ApplyPackedNames(record, batch));
  } else {
    for (const Item& item : record.items) {
      if (IsNameTombstone(item)) EachRow(item, record.at, &references, put);
    }
  }
  for (const Item& item : record.items) {
    if (IsNameTombstone(item)) continue;
    if (const auto* voided = std::get_if<VoidItem>(&item.body)) {
      DKFS_TRY(WriteOut(batch));  // the voided record may be in it
      DKFS_TRY(Void(voided->seq, batch));
    } else {
      EachRow(item, record.at, &references, put);
    }
  }
  return Status::Ok();
}

void Index::ApplyMoment(const Appended& at, KvBatch* batch) {
  batch->Put(Family::kMoment, keys::Moment(at.seq), values::Encode(MomentValue{at.time, at.segment, at.offset}));
  if (at.time < last_time_) batch->Put(Family::kMeta, StepKey(at.seq), {});
  last_time_ = at.time;
}

// A pack may hold the tombstone and the new entry of one record in different frames, in any order.
Status Index::ApplyPackedNames(const Queued& record, KvBatch* batch) {
  std::string_view none;
  for (const Item& item : record.items) {
    if (!IsNameTombstone(item)) continue;
    DKFS_TRY(WriteOut(batch));  // the new entry may be in it
    const auto& name = std::get<NameItem>(item.body);
    const Seq seq = item.as_of ? item.as_of : record.at.seq;
    Result<std::string> there = kv_->Get(Family::kName, keys::Name(name.parent, name.name, seq));
    if (!there.ok() && !there.status().IsNotFound()) return there.status();
    NameValue value;
    if (there.ok()) DKFS_TRY(values::Decode(AsBytes(*there), &value));
    EachRow(item, record.at, &none, [&](Family family, std::string_view key, std::string_view row) {
      if (family == Family::kName && value.child && value.entry != name.entry) return;
      batch->Put(family, key, row);
    });
  }
  return Status::Ok();
}

}  // namespace dkfs
