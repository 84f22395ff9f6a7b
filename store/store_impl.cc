#include "store/store_impl.h"

#include <fcntl.h>
#include <sys/statvfs.h>

#include <algorithm>

#include "store/base/fault.h"
#include "store/base/file.h"
#include "store/base/log.h"
#include "store/codec/record_body.h"
#include "store/journal/segment_file.h"
#include "store/record_rep.h"

namespace dkfs {
namespace {

constexpr uint64_t kQueueSoftBytes = 1 << 20;  // the indexer is hurried
constexpr uint64_t kFlushMemoryBytes = 24 << 20;
constexpr uint64_t kFlushJournalBytes = 64 << 20;
constexpr uint64_t kMostMemoryBytes = 64 << 20;  // for an index that cannot be flushed any more (G10)
constexpr uint64_t kLeastSegmentBytes = 2 << 20;
constexpr uint64_t kRoomBesidePack = 8 << 20;  // for a flush of the index; a pack is no larger than what it replaces
constexpr uint64_t kFlushIdleNs = 30'000'000'000;
constexpr uint64_t kTryAgainNs = 2'000'000'000;
constexpr uint64_t kPatienceNs = 20'000'000'000;  // how long writers wait for retention that does not get on
using std::chrono::milliseconds;
constexpr milliseconds kQuietAfterOpen{500};  // what can wait leaves the disk to whoever waits for the mount

ReplayBody FeedTo(Index* index) {
  return [index](const Appended& at, Bytes body) -> Status {
    std::vector<Item> items;
    DKFS_TRY(DecodeItems(body, &items));
    index->Enqueue(at, std::move(items));
    return index->QueuedBytes() > kQueueSoftBytes ? index->ApplyAll() : Status::Ok();
  };
}

// For the journal, which does not decompress.
Journal::Replay Expanding(ReplayBody each) {
  auto buffer = std::make_shared<std::vector<std::byte>>();
  return [each = std::move(each), buffer](const RecordHeader& header, const Appended& at, Bytes stored) -> Status {
    DKFS_TRY_ASSIGN(const Bytes body, codec::RecordBody(header, stored, buffer.get()));
    return each(at, body);
  };
}

}  // namespace

Store::Impl::~Impl() { StopWorkers(); }

Status Store::Impl::Writable() const {
  return writable() ? Status::Ok() : Status::Error(EROFS, dir.path() + ": opened read-only");
}

Status Store::Impl::OpenForWriting() {
  DKFS_TRY(Fault::Pass("store.open"));
  for (const char* name : {"journal", "aside"}) {
    Status made = file::MakeDir(dir.fd(), name);
    if (!made.ok() && made.code() != EEXIST) return made;
  }
  DKFS_TRY(file::SyncDir(dir.fd(), "."));
  if (options.rebuild_index) DKFS_TRY(RequestRebuild(dir));
  Result<OpenedIndex> indexed = OpenIndex(dir);
  if (indexed.code() == ENOSPC && file::Unlink(dir.fd(), std::string("journal/") + kReserveName).ok()) {
    indexed = OpenIndex(dir);  // the reserve is made again when there is room
  }
  DKFS_TRY_ASSIGN(opened, std::move(indexed));
  index = opened.index.get();
  JournalOptions journal_options;
  journal_options.segment_bytes = std::min(options.segment_bytes, ShareOfBudget(32, kLeastSegmentBytes));
  journal_options.reserve_bytes = std::min(journal_options.reserve_bytes, ShareOfBudget(64, kLeastSegmentBytes));
  journal_options.room_bytes = journal_options.segment_bytes + kRoomBesidePack;
  journal_options.clock = options.clock;
  if (options.background) journal_options.spare_after = kQuietAfterOpen;
  journal_options.on_sync = options.on_sync;
  journal_options.behind = [this] { return Behind(); };
  DKFS_TRY_ASSIGN(journal,
                  Journal::Open(JournalPath(), dir.uuid(), opened.tail, journal_options, Expanding(FeedTo(index))));
  if (journal->appended() < opened.tail.last) {
    return Status::Corruption(JournalPath() + ": ends at seq " + std::to_string(journal->appended().value) +
                              ", before the index (seq " + std::to_string(opened.tail.last.value) + ")");
  }
  DKFS_TRY(index->ApplyAll());
  if (opened.rebuilding) {
    DKFS_TRY(index->Flush(journal.get()));
    DKFS_TRY(dir.RemoveCleanMark());  // it counts on fingerprints, which no segment holds
    DKFS_TRY(FinishRebuild(dir));
  }
  return FinishOpen();
}

Status Store::Impl::OpenForReading(const Status& distrust) {
  DKFS_TRY_ASSIGN(opened, OpenIndexCopy(dir, distrust));
  index = opened.index.get();
  TailEnd end;
  TailOptions tail;
  tail.from = opened.tail;
  DKFS_TRY(ReadTail(JournalPath(), dir.uuid(), tail, FeedTo(index), &end));
  DKFS_TRY(index->ApplyAll());
  read_only_last = end.position.last;
  parts.damage = opened.damage.ok() ? end.damage : opened.damage;
  parts.index_error = opened.index_error;
  Note(Work::kDamage, parts.damage);
  return FinishOpen();
}

// What both ways of opening share, once index and journal stand.
Status Store::Impl::FinishOpen() {
  reader = std::make_unique<SegmentReader>(JournalPath());
  reconstructor = std::make_unique<Reconstructor>(index, reader.get());
  DKFS_TRY(CheckSegments());
  clean = dir.ReadCleanMark();
  opened_at = Last();
  fresh = opened_at == Seq{};
  parts.dir = &dir;
  parts.index = index;
  parts.reader = reader.get();
  parts.reconstructor = reconstructor.get();
  next_file = std::max(index->max_file().value + 1, kFirstFile.value);
  next_entry = std::max(index->max_entry().value + 1, kFirstEntry.value);
  retain_seconds = options.retain.count();
  budget_bytes = options.budget_bytes != 0 ? options.budget_bytes : DefaultBudget();
  if (!writable()) return Status::Ok();
  RetainOptions retain;
  retain.retain = options.retain;
  retain.budget_bytes = budget_bytes;
  retain.pack_source_bytes = std::min(retain.pack_source_bytes, ShareOfBudget(16, 2 * kLeastSegmentBytes));
  retain.yields = options.yields && options.background;
  retain.clock = options.clock;
  retainer = std::make_unique<Retainer>(JournalPath(), dir.uuid(), index, journal.get(), reader.get(),
                                        reconstructor.get(), retain);
  DKFS_TRY(retainer->Load());
  retainer->Tick();
  return NoteSealed();
}

// A segment that the index counts on and that is not there: the rest of the store still serves.
Status Store::Impl::CheckSegments() {
  MutexLock lock(maintain_mutex_);
  KvCursor cursor = opened.kv->NewCursor(Family::kSegment);
  for (cursor.SeekToFirst(); cursor.Valid(); cursor.Next()) {
    SegmentId id;
    SegmentValue value;
    DKFS_TRY(keys::ParseSegment(AsBytes(cursor.key()), &id));
    DKFS_TRY(values::Decode(AsBytes(cursor.value()), &value));
    noted_.insert(id);
    const std::string name = "journal/" + SegmentName(id, static_cast<SegmentKind>(value.kind));
    Result<struct stat> stat = file::Stat(dir.fd(), name);
    if (stat.ok()) continue;
    Status missing = Status::Corruption(dir.path() + "/" + name + ": segment is missing");
    Log(LogLevel::kError, "segment_missing",
        {{"segment", dir.path() + "/" + name}, {"hint", "put it back from a copy; what it held reads as EIO"}});
    Note(Work::kDamage, missing);
  }
  return cursor.status();
}

// A sealed segment gets a row in the index, so that its loss is noticed at the next open. Retention takes the row away
// before the segment; hence under the same mutex.
Status Store::Impl::NoteSealed() {
  MutexLock lock(maintain_mutex_);
  return WriteSegmentRows();
}

Status Store::Impl::WriteSegmentRows() {
  KvBatch batch;
  for (const SegmentInfo& info : journal->SealedSegments()) {
    if (!info.last || !noted_.insert(info.id).second) continue;
    const SegmentValue row{static_cast<uint32_t>(SegmentKind::kJournal), info.first, info.last, info.bytes};
    batch.Put(Family::kSegment, keys::Segment(info.id), values::Encode(row));
  }
  return batch.count() > 0 ? index->Write(&batch) : Status::Ok();
}

Result<bool> Store::Impl::Maintain() {
  MutexLock lock(maintain_mutex_);
  retainer->Tick();
  DKFS_TRY(WriteSegmentRows());
  return retainer->Step();
}

uint64_t Store::Impl::DefaultBudget() const {
  struct statvfs fs;
  if (fstatvfs(dir.fd(), &fs) != 0) return 0;
  const uint64_t free = static_cast<uint64_t>(fs.f_bavail) * fs.f_frsize;
  return ((journal ? journal->DiskBytes() : 0) + PackBytes() + opened.kv->DiskBytes() + free) / 2;
}

// What is in use only for a while must be small beside the budget, or it would not hold.
uint64_t Store::Impl::ShareOfBudget(uint64_t part, uint64_t least) const {
  const uint64_t budget = options.budget_bytes != 0 ? options.budget_bytes : DefaultBudget();
  return RoundUp(std::max(budget / part, least), 4096);
}

uint64_t Store::Impl::PackBytes() const {
  uint64_t bytes = 0;
  KvCursor cursor = opened.kv->NewCursor(Family::kSegment);
  for (cursor.SeekToFirst(); cursor.Valid(); cursor.Next()) {
    SegmentValue value;
    if (!values::Decode(AsBytes(cursor.value()), &value).ok()) continue;
    if (static_cast<SegmentKind>(value.kind) == SegmentKind::kPack) bytes += value.bytes;
  }
  return bytes;
}

Result<Appended> Store::Impl::Append(RecordBuilder::Rep& record) {
  DKFS_TRY(Fault::Pass("store.append"));
  if (index_failed_.load(std::memory_order_relaxed) && !record.urgent) DKFS_TRY(Choke());
  struct iovec vector[RecordBuilder::Rep::kMaxParts];
  const Journal::Body body = record.Stored(vector);
  DKFS_TRY_ASSIGN(Appended at, journal->Append(body, record.request, record.urgent, [&](const Appended& place) {
    index->Enqueue(place, std::move(record.items));
  }));
  // As many as opening would have to decompress.
  unflushed_bytes.fetch_add(kRecordHeaderBytes + record.bytes, std::memory_order_relaxed);
  if (index->OverLimit()) {
    // The record is written; an index that cannot keep up with it is seen in status and by readers.
    Note(Work::kApply, index->ApplyAll());
  }
  WakeIndexer();
  return at;
}

void Store::Impl::WakeIndexer() {
  if (!indexer_) return;
  if (indexer_idle_.load(std::memory_order_relaxed) && indexer_idle_.exchange(false)) indexer_->Nudge();
  if (index->QueuedBytes() > kQueueSoftBytes && !indexer_hurried_.exchange(true)) indexer_->Nudge();
}

Status Store::Impl::Flush() {
  const uint64_t before = unflushed_bytes.load(std::memory_order_relaxed);
  Status status = index->Flush(journal.get());
  if (status.ok()) unflushed_bytes.fetch_sub(before, std::memory_order_relaxed);
  Note(Work::kFlush, status);
  return status;
}

void Store::Impl::Note(Work work, const Status& status) {
  MutexLock lock(error_mutex_);
  Status& slot = errors_[static_cast<size_t>(work)];
  if (work != Work::kDamage || slot.ok()) slot = status;
}

Status Store::Impl::error() const {
  if (journal) DKFS_TRY(journal->error());
  if (journal) DKFS_TRY(journal->shortage());
  DKFS_TRY(opened.kv->error());
  MutexLock lock(error_mutex_);
  for (const Status& status : errors_) {
    if (!status.ok()) return status;
  }
  return Status::Ok();
}

Seq Store::Impl::Oldest() const {
  if (retainer) return retainer->stats().horizon;
  Result<std::string> row = opened.kv->Get(Family::kMeta, "retain/horizon");
  return row.ok() && row->size() == sizeof(uint64_t) ? Seq{LoadLe<uint64_t>(row->data())} : Seq{};
}

std::optional<TimeSpec> Store::Impl::FirstMoment() const {
  const Result<MomentValue> moment = index->Moment(std::max(Oldest(), Seq{1}));
  return moment.ok() ? std::optional(moment->time) : std::nullopt;
}

void Store::Impl::StartWorkers() {
  indexer_ = std::make_unique<Worker>(
      "dkfs-index", [this] { return IndexRound(); }, Worker::Priority::kBulk);
  syncer_ = std::make_unique<Worker>("dkfs-sync", [this] { return SyncRound(); });
  flusher_ = std::make_unique<Worker>("dkfs-flush", [this] { return FlushRound(); });
  maintainer_ = std::make_unique<Worker>(
      "dkfs-retain", [this] { return MaintainRound(); }, Worker::Priority::kIdle,
      std::min(kQuietAfterOpen, options.maintain_every));
  for (Worker* worker : {indexer_.get(), syncer_.get(), flusher_.get(), maintainer_.get()}) worker->Start();
  MutexLock lock(behind_mutex_);
  maintaining_ = true;
}

void Store::Impl::StopWorkers() {
  {
    MutexLock lock(behind_mutex_);
    maintaining_ = false;
  }
  if (retainer && maintainer_) retainer->Stop();
  for (Worker* worker : {maintainer_.get(), flusher_.get(), syncer_.get(), indexer_.get()}) {
    if (worker != nullptr) worker->Stop();
  }
}

bool Store::Impl::Behind() {
  MutexLock lock(behind_mutex_);
  if (!maintaining_ || !retainer->Behind()) {
    behind_since_ns_ = 0;
    return false;
  }
  maintainer_->SetIdle(false);
  maintainer_->Nudge();
  const uint64_t done = maintain_failed_ ? behind_done_ : retainer->stats().steps;
  const uint64_t now = MonotonicNs();
  if (behind_since_ns_ == 0 || done != behind_done_) behind_since_ns_ = now;
  behind_done_ = done;
  return now - behind_since_ns_ < kPatienceNs;
}

// Applies every 5 ms while records come; sleeps until the next append otherwise.
Worker::Delay Store::Impl::IndexRound() {
  const bool busy = index->QueuedBytes() > 0;
  Note(Work::kApply, index->ApplyAll());
  indexer_hurried_ = false;
  if (busy) return milliseconds(5);
  indexer_idle_ = true;
  // An append between the look at the queue and the flag has not nudged us.
  return index->QueuedBytes() > 0 ? milliseconds(5) : milliseconds(10'000);
}

// Half the promised second, as a flush takes time too.
Worker::Delay Store::Impl::SyncRound() {
  if (journal->appended() > journal->synced()) journal->Sync(kLatest).Ignore("sticky: journal->error() keeps it");
  return milliseconds(500);
}

Worker::Delay Store::Impl::FlushRound() {
  // A compaction may wait for space where nothing is left to flush. Not at each round: what waits shows as an error.
  const uint64_t now = options.clock.monotonic_ns();
  if (now - tried_again_ns_ > kTryAgainNs) {
    tried_again_ns_ = now;
    opened.kv->TryAgain();
  }
  const Seq applied = index->applied();
  if (applied != idle_seq_) idle_since_ns_ = now;
  idle_seq_ = applied;
  const bool idle = applied > index->flushed() && now - idle_since_ns_ > kFlushIdleNs;
  if (idle || opened.kv->MemoryBytes() > kFlushMemoryBytes || unflushed_bytes.load() > kFlushJournalBytes) {
    const Status flushed = Flush();
    index_failed_ = !flushed.ok() && flushed.code() != ENOSPC;
    if (!flushed.ok()) return milliseconds(5'000);
  }
  return milliseconds(200);
}

// What a failed index has not flushed stays in memory, for good: at its bound changes are refused.
Status Store::Impl::Choke() {
  if (opened.kv->MemoryBytes() + index->QueuedBytes() <= kMostMemoryBytes) return Status::Ok();
  if (!choked_.exchange(true)) {
    Log(LogLevel::kError, "index_failed",
        {{"error", opened.kv->error().ToString()},
         {"hint", "changes are refused now: mend the store's disk and mount again"}});
  }
  return Status::Error(EIO, "the index cannot be written any more");
}

Worker::Delay Store::Impl::MaintainRound() {
  index->FindDeadEntries().Ignore("whoever lists the directory walks them then");
  Result<bool> did = Maintain();
  Note(Work::kMaintain, did.status());
  maintain_failed_ = !did.ok();
  if (!retainer->Behind()) maintainer_->SetIdle(true);
  return did.ok() && *did ? milliseconds(0) : options.maintain_every;
}

}  // namespace dkfs
