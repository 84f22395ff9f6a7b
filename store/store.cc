#include "store/store.h"

#include "store/base/fault.h"
#include "store/base/file.h"
#include "store/base/log.h"
#include "store/moments.h"
#include "store/record_rep.h"
#include "store/store_impl.h"
#include "store/store_parts.h"

namespace dkfs {

Store::Store(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Store::~Store() = default;

Result<std::unique_ptr<Store>> Store::Open(const std::string& path, const StoreOptions& options) {
  const bool write = options.mode == StoreOptions::Mode::kReadWrite;
  DKFS_TRY_ASSIGN(StoreDir dir, StoreDir::Open(path, write ? StoreDir::Access::kWrite : StoreDir::Access::kRead,
                                               options.create, options.clock.wall()));
  auto impl = std::make_unique<Impl>(std::move(dir), options);
  Status opened = write ? impl->OpenForWriting() : impl->OpenForReading();
  if (opened.IsCorruption() && !write && impl->parts.index_error.ok()) {
    // A part of the index that is not looked at when RocksDB opens it: the segments may know better.
    const Status why = opened;
    DKFS_TRY_ASSIGN(StoreDir again, StoreDir::Open(path, StoreDir::Access::kRead, false, options.clock.wall()));
    impl = std::make_unique<Impl>(std::move(again), options);
    opened = impl->OpenForReading(why);
  }
  if (opened.code() == ENOTDIR || opened.code() == ELOOP) opened = Status::Corruption(opened.ToString());
  if (!opened.ok() && opened.context().find(path) == std::string_view::npos) opened = opened.Prefix(path);
  DKFS_TRY(opened);
  if (write && options.background) impl->StartWorkers();
  return std::unique_ptr<Store>(new Store(std::move(impl)));
}

Status Store::Close() {
  impl_->StopWorkers();
  if (!impl_->writable()) return Status::Ok();
  DKFS_TRY(Fault::Pass("store.close"));
  DKFS_TRY(impl_->journal->Seal());
  DKFS_TRY(impl_->NoteSealed());
  DKFS_TRY(Sync());
  return impl_->Flush();
}

const std::string& Store::path() const { return impl_->dir.path(); }
std::string Store::uuid() const { return UuidText(impl_->dir.uuid()); }
bool Store::fresh() const { return impl_->fresh; }

bool Store::was_clean() const {
  // A mark with another Seq is of an earlier time: something was appended after it.
  return impl_->fresh || CleanIdentity().has_value();
}

std::optional<std::string> Store::CleanIdentity() const {
  if (!impl_->clean || impl_->clean->seq != impl_->opened_at) return std::nullopt;
  return impl_->clean->identity;
}

FileId Store::NewFile() { return FileId{impl_->next_file.fetch_add(1, std::memory_order_relaxed)}; }
EntryId Store::NewEntry() { return EntryId{impl_->next_entry.fetch_add(1, std::memory_order_relaxed)}; }

Result<Seq> Store::Append(RecordBuilder& record) {
  DKFS_TRY(impl_->Writable());
  if (record.empty()) return Status::Error(EINVAL, "empty record");
  DKFS_TRY_ASSIGN(Appended at, impl_->Append(*record.rep_));
  return at.seq;
}

void Store::AwaitRoom() {
  if (impl_->journal) impl_->journal->AwaitRoom();
}

void Store::Barrier(Seq seq, std::function<void(Status)> done) {
  Status status = impl_->Writable();
  if (status.ok()) status = Fault::Pass("store.barrier");
  if (!status.ok()) return done(std::move(status));
  impl_->journal->Barrier(seq, std::move(done));
}

Status Store::BarrierAndWait(Seq seq) {
  DKFS_TRY(impl_->Writable());
  DKFS_TRY(Fault::Pass("store.barrier"));
  return impl_->journal->BarrierAndWait(seq);
}

Status Store::Sync(Seq seq) {
  DKFS_TRY(impl_->Writable());
  DKFS_TRY(Fault::Pass("store.sync"));
  return impl_->journal->Sync(seq);
}

Seq Store::appended() const { return impl_->Last(); }

// --- the backing directory's facts ---

Status Store::PutFingerprints(std::span<const std::pair<FileId, Fingerprint>> prints) {
  DKFS_TRY(impl_->Writable());
  KvBatch batch;
  for (const auto& [file, print] : prints) batch.Put(Family::kBacking, keys::OfFile(file), values::Encode(print));
  return impl_->index->Write(&batch);
}

Result<Fingerprint> Store::GetFingerprint(FileId file) {
  DKFS_TRY_ASSIGN(std::string value, impl_->opened.kv->Get(Family::kBacking, keys::OfFile(file)));
  Fingerprint print;
  DKFS_TRY(values::Decode(AsBytes(value), &print));
  return print;
}

Status Store::PutHotExtents(const std::vector<HotExtent>& extents) {
  DKFS_TRY(impl_->Writable());
  return impl_->dir.WriteHot(EncodeHotExtents(extents));
}

std::vector<HotExtent> Store::GetHotExtents() const {
  Result<std::string> text = impl_->dir.ReadHot();
  if (text.status().IsNotFound()) return {};
  Result<std::vector<HotExtent>> extents = text.ok() ? DecodeHotExtents(*text) : text.status();
  if (extents.ok()) return std::move(extents).value();
  Log(LogLevel::kWarn, "hot_extents_unread",
      {{"store", impl_->dir.path()},
       {"error", extents.status().ToString()},
       {"hint", "files are restored in their order"}});
  return {};
}

Status Store::MarkClean(const std::string& identity) {
  DKFS_TRY(impl_->Writable());
  DKFS_TRY(Fault::Pass("store.mark_clean"));
  const Seq last = impl_->Last();
  DKFS_TRY(Sync(last));
  DKFS_TRY(impl_->Flush());
  return impl_->dir.WriteCleanMark({last, identity});
}

Status Store::RemoveCleanMark() {
  DKFS_TRY(impl_->Writable());
  DKFS_TRY(Fault::Pass("store.remove_clean"));
  return impl_->dir.RemoveCleanMark();
}

// --- upkeep ---

StoreStatus Store::GetStatus() const {
  StoreStatus status;
  const Impl& impl = *impl_;
  status.captured = status.appended = status.synced = impl.Last();
  if (impl.journal) {
    const JournalStats stats = impl.journal->stats();
    status.synced = impl.journal->synced();
    status.records = stats.records;
    status.record_bytes = stats.bytes;
    status.expanded_bytes = stats.expanded_bytes;
    status.syncs = stats.syncs;
    status.sync_ns = stats.sync_ns;
    status.barriers = stats.barriers;
    status.journal_bytes = impl.journal->DiskBytes();
  }
  status.indexed = impl.index->applied();
  status.flushed = impl.index->flushed();
  status.oldest = impl.Oldest();
  if (const auto first = impl.FirstMoment()) status.oldest_time = *first;
  if (impl.retainer) {
    const RetainStats stats = impl.retainer->stats();
    status.packed_segments = stats.packed_segments;
    status.deleted_segments = stats.deleted_segments;
  }
  status.pack_bytes = impl.PackBytes();
  status.index_bytes = impl.opened.kv->DiskBytes();
  status.store_bytes = status.journal_bytes + status.pack_bytes + status.index_bytes;
  status.budget_bytes = impl.budget_bytes;
  status.queue_bytes = impl.index->QueuedBytes();
  status.retain = std::chrono::seconds(impl.retain_seconds.load());
  status.error = impl.error();
  return status;
}

Status Store::FlushIndex() {
  DKFS_TRY(impl_->Writable());
  return impl_->Flush();
}

Result<bool> Store::Maintain() {
  DKFS_TRY(impl_->Writable());
  return impl_->Maintain();
}

void Store::SetRetention(std::chrono::seconds retain, uint64_t budget_bytes) {
  impl_->retain_seconds = retain.count();
  impl_->budget_bytes = budget_bytes != 0 ? budget_bytes : impl_->DefaultBudget();
  if (impl_->retainer) impl_->retainer->SetLimits(retain, impl_->budget_bytes);
}

Store::Parts* Store::parts() { return &impl_->parts; }

}  // namespace dkfs
