#include "store/index/index.h"

#include <algorithm>

#include "store/base/fault.h"

namespace dkfs {
namespace {

constexpr std::string_view kMetaKey = "index";
constexpr uint32_t kMetaVersion = 1;

void Raise(std::atomic<uint64_t>* highest, uint64_t value) {
  uint64_t seen = highest->load(std::memory_order_relaxed);
  while (seen < value && !highest->compare_exchange_weak(seen, value, std::memory_order_relaxed)) {
  }
}

// What an item weighs in the queue, and the highest ids it names.
struct Weigher {
  uint64_t bytes = 0;
  uint64_t max_file = 0, max_entry = 0;

  void File(FileId file) { max_file = std::max(max_file, file.value); }
  void operator()(const InodeItem& item) {
    File(item.file);
    bytes += item.state.symlink_target.size();
  }
  void operator()(const NameItem& item) {
    File(item.parent);
    File(item.child);
    max_entry = std::max(max_entry, item.entry.value);
    bytes += item.name.size();
  }
  void operator()(const XattrItem& item) {
    File(item.file);
    bytes += item.name.size() + item.value.size();
  }
  void operator()(const RangeItem& item) { File(item.file); }
  void operator()(const BlocksItem& item) {
    File(item.file);
    bytes += item.versions.size() * sizeof(BlockVersion);
  }
  void operator()(const VoidItem&) {}
  void operator()(const MomentsItem& item) { bytes += item.times.size() * sizeof(TimeSpec); }
};

void CopyReferences(const Item& item, std::string* out) {
  const auto* blocks = std::get_if<BlocksItem>(&item.body);
  if (blocks == nullptr) return;
  uint64_t position = 0;
  for (const BlockVersion& version : blocks->versions) {
    if (version.kind == BlockKind::kReference && position + version.stored_bytes <= item.payload.size()) {
      *out += AsString(item.payload.subspan(position, version.stored_bytes));
    }
    position += version.stored_bytes;
  }
}

}  // namespace

Status Index::Load() {
  Result<std::string> row = kv_->Get(Family::kMeta, kMetaKey);
  if (row.status().IsNotFound()) return Status::Ok();
  if (!row.ok()) return row.status();
  ByteReader in(AsBytes(*row));
  if (in.Le<uint32_t>() != kMetaVersion) return Status::Error(ENOTSUP, "index: written by a newer version");
  MutexLock lock(apply_mutex_);
  position_.last = Seq{in.Le<uint64_t>()};
  position_.segment = SegmentId{in.Le<uint64_t>()};
  position_.offset = in.Le<uint64_t>();
  applied_ = in.Le<uint64_t>();
  max_file_ = in.Le<uint64_t>();
  max_entry_ = in.Le<uint64_t>();
  last_time_.sec = in.Le<int64_t>();
  last_time_.nsec = in.Le<uint32_t>();
  if (!in.ok() || in.remaining() != 0) return Status::Corruption("index: meta row");
  flushed_ = applied_.load();
  recovered_ = position_;
  return Status::Ok();
}

void Index::ContinueAt(JournalPosition position) {
  MutexLock lock(apply_mutex_);
  position_ = position;
  applied_ = std::max(applied_.load(), position.last.value);
  dirty_ = true;
}

std::string Index::MetaRow() const {
  std::string row;
  PutLe(&row, kMetaVersion);
  PutLe(&row, position_.last.value);
  PutLe(&row, position_.segment.value);
  PutLe(&row, position_.offset);
  PutLe(&row, applied_.load());
  PutLe(&row, max_file_.load());
  PutLe(&row, max_entry_.load());
  PutLe(&row, last_time_.sec);
  PutLe(&row, last_time_.nsec);
  return row;
}

void Index::Enqueue(const Appended& at, std::vector<Item> items) {
  Weigher weigher;
  Queued queued{at, std::move(items), {}, 0};
  for (const Item& item : queued.items) {
    std::visit(weigher, item.body);
    if (at.kind == SegmentKind::kPack) CopyReferences(item, &queued.references);
  }
  queued.bytes = sizeof(Queued) + queued.items.size() * sizeof(Item) + queued.references.size() + weigher.bytes;
  Raise(&max_file_, weigher.max_file);
  Raise(&max_entry_, weigher.max_entry);
  queued_bytes_ += queued.bytes;
  pending_.Add(queued.items, at.kind == SegmentKind::kPack);
  MutexLock lock(queue_mutex_);
  queue_.push_back(std::move(queued));
  enqueued_.fetch_add(1, std::memory_order_release);
}

Status Index::ApplyRepoints(const std::vector<Repoint>& repoints) {
  MutexLock lock(apply_mutex_);
  KvBatch batch;
  for (const Repoint& repoint : repoints) {
    std::string key = keys::Block(repoint.key.file, repoint.key.layout, repoint.key.block, repoint.key.seq);
    Result<std::string> now = kv_->Get(Family::kBlock, key);
    if (now.status().IsNotFound()) continue;
    if (!now.ok()) return now.status();
    if (*now == values::Encode(repoint.from)) batch.Put(Family::kBlock, key, values::Encode(repoint.to));
  }
  DKFS_TRY(Fault::Pass("index.repoint"));
  return WriteOut(&batch);
}

Status Index::Write(KvBatch* batch) {
  MutexLock lock(apply_mutex_);
  dirty_ = true;
  return kv_->Write(batch);
}

JournalPosition Index::recovered() const { return recovered_; }
Seq Index::applied() const { return Seq{applied_.load(std::memory_order_acquire)}; }
Seq Index::flushed() const { return Seq{flushed_.load(std::memory_order_acquire)}; }
uint64_t Index::QueuedBytes() const { return queued_bytes_.load(std::memory_order_relaxed); }
void Index::RaiseIds(FileId file, EntryId entry) {
  Raise(&max_file_, file.value);
  Raise(&max_entry_, entry.value);
}

FileId Index::max_file() const { return FileId{max_file_.load()}; }
EntryId Index::max_entry() const { return EntryId{max_entry_.load()}; }

}  // namespace dkfs
