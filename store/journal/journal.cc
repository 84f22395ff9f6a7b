#include "store/journal/journal.h"

#include <fcntl.h>

#include <algorithm>
#include <atomic>
#include <optional>

#include "store/base/fault.h"
#include "store/base/file.h"
#include "store/base/log.h"
#include "store/base/mutex.h"
#include "store/journal/group_commit.h"
#include "store/journal/recovery.h"
#include "store/journal/segment_file.h"
#include "store/journal/segment_supply.h"

namespace dkfs {
namespace {

constexpr int kMaxParts = 62;
constexpr uint64_t kLeastSegmentBytes = 64 << 10;
// A segment that is synced so often, or once for so many bytes, is worth being filled with zeros before.
constexpr uint64_t kManySyncs = 64;
constexpr uint64_t kManySyncBytes = 1 << 20;
constexpr uint64_t kFullNs = 10'000'000'000;  // how long a record that was refused says that there is no space

std::byte kZeros[kPage + kRecordHeaderBytes] = {};

// Everything one pwritev needs, on the stack.
struct Vector {
  std::array<std::byte, kRecordHeaderBytes> head;
  struct iovec parts[kMaxParts + 3];
  int count = 0;

  // `zeros`: how many stand behind the record, as its end.
  void Fill(const RecordHeader& header, uint64_t salt, const Journal::Body& body, size_t zeros) {
    head = EncodeRecordHeader(header, salt);
    parts[count++] = {head.data(), head.size()};
    std::copy(body.parts, body.parts + body.count, parts + count);
    count += body.count;
    const size_t pad = header.length - kRecordHeaderBytes - body.bytes;
    if (pad > 0) parts[count++] = {kZeros, pad};
    if (zeros > 0) parts[count++] = {kZeros, zeros};
  }
};

// How far zeros are written behind a record that ends at `end`. Room for a header, which says that the next record is
// not there: in a reused file there may stand another. And the page to its end, because a page written in part is read
// from the disk first when it is not in memory.
uint64_t EndOfPages(uint64_t end) { return RoundUp(end + kRecordHeaderBytes, kPage); }

SegmentInfo InfoOf(const SegmentFile& segment) {
  return {.id = segment.header().id, .first = segment.first, .last = segment.last, .bytes = segment.end};
}

}  // namespace

class Journal::Impl {
 public:
  Impl(UniqueFd dir, const Recovered& recovered, const SegmentHeader& proto, const JournalOptions& options);
  Status Begin(const std::vector<SegmentId>& blanks);
  Result<Appended> Append(const Body& body, uint64_t request, bool urgent, const OnAppend& on_append) EXCLUDES(mutex_);
  Status Seal() EXCLUDES(mutex_);
  Status Delete(SegmentId id, bool keep_file) EXCLUDES(mutex_);
  std::vector<SegmentInfo> Sealed() const EXCLUDES(mutex_);
  uint64_t DiskBytes() const EXCLUDES(mutex_);
  Status error() const EXCLUDES(mutex_);
  Status shortage() const EXCLUDES(mutex_);

  const uint64_t epoch;
  std::atomic<uint64_t> appended;
  std::atomic<uint64_t> records{0}, bytes{0}, expanded_bytes{0}, syncs{0}, sync_ns{0}, barriers{0};

 private:
  using Segment = std::shared_ptr<SegmentFile>;

  Result<Segment> FirstSegment();
  Status MakeRoom(uint32_t length, bool urgent) REQUIRES(mutex_);
  bool Fits(uint32_t length, bool urgent) const REQUIRES(mutex_);
  void ChooseZeros(uint32_t length, bool urgent) REQUIRES(mutex_);
  void Roll(Segment next) REQUIRES(mutex_);
  Status Write(const RecordHeader& header, const Body& body) REQUIRES(mutex_);
  Status TakeBack() REQUIRES(mutex_);
  void Fail(const Status& error) REQUIRES(mutex_);
  Result<Seq> Flush() EXCLUDES(mutex_);
  void OnSealed(const Segment& segment, const Status& status) EXCLUDES(mutex_);
  Status AwaitFollower(SegmentId id) EXCLUDES(mutex_);

  const UniqueFd dir_;
  const JournalOptions options_;
  mutable Mutex mutex_;
  Segment active_ GUARDED_BY(mutex_);
  std::vector<Segment> closing_ GUARDED_BY(mutex_);     // rolled, not sealed yet; oldest first
  std::vector<SegmentInfo> sealed_ GUARDED_BY(mutex_);  // in id order
  Status error_ GUARDED_BY(mutex_);
  Status full_ GUARDED_BY(mutex_);  // why the last record was not written, and when that was
  uint64_t full_ns_ GUARDED_BY(mutex_) = 0;
  std::vector<Segment> flushing_;  // of the thread in Flush
  uint64_t last_sync_ns_ = 0;      // the same

 public:
  SegmentSupply supply;  // its thread calls OnSealed: destroyed before what that uses
  GroupCommit commit;    // destroyed first
};

Journal::Impl::Impl(UniqueFd dir, const Recovered& recovered, const SegmentHeader& proto, const JournalOptions& options)
    : epoch(proto.epoch),
      appended(recovered.last.value),
      dir_(std::move(dir)),
      options_(options),
      sealed_(recovered.sealed),
      supply(
          dir_.get(), proto, recovered.next_id,
          {.segment_bytes = options.segment_bytes,
           .reserve_bytes = options.reserve_bytes,
           .room_bytes = options.room_bytes,
           .spare_after = options.spare_after},
          [this](const Segment& segment, const Status& status) { OnSealed(segment, status); }, options.behind),
      commit(
          recovered.last, [this] { return Flush(); },
          [this](int group) {
            if (options_.on_sync) options_.on_sync(last_sync_ns_, group);
          }) {}

// A small first segment, so that opening is quick; when space is short a smaller one, at last the reserve.
Result<Journal::Impl::Segment> Journal::Impl::FirstSegment() {
  const Seq first(appended + 1);
  for (uint64_t size = RoundUp(std::max(options_.segment_bytes / 8, kLeastSegmentBytes), kPage);; size /= 2) {
    Result<Segment> made = supply.Begin(size, first);
    if (made.ok() || made.code() != ENOSPC) return made;
    if (size / 2 < kLeastSegmentBytes) break;
  }
  return supply.BeginOnReserve(first);
}

Status Journal::Impl::Begin(const std::vector<SegmentId>& blanks) {
  Status reserve = supply.MakeReserve();
  if (!reserve.ok() && reserve.code() != ENOSPC) return reserve;
  DKFS_TRY_ASSIGN(Segment first, FirstSegment());
  for (SegmentId id : blanks) DKFS_TRY(file::Unlink(dir_.get(), SegmentName(id, SegmentKind::kJournal)));
  if (!blanks.empty()) DKFS_TRY(file::SyncDir(dir_.get(), "."));
  MutexLock lock(mutex_);
  active_ = std::move(first);
  closing_.reserve(16);
  supply.Start();
  return Status::Ok();
}

// What is to come is judged by the active segment when it ends. A bare one that is synced often after all ends early.
void Journal::Impl::ChooseZeros(uint32_t length, bool urgent) {
  const bool full = !Fits(length, urgent);
  const bool mistaken = active_->bare && active_->last && active_->syncs() >= kManySyncs;
  if (!full && !mistaken) return;
  supply.PreferZeros(active_->syncs() >= std::min(kManySyncs, active_->size() / kManySyncBytes));
  if (full) return;
  if (Segment next = supply.TryTake(length, false)) Roll(std::move(next));
}

bool Journal::Impl::Fits(uint32_t length, bool urgent) const {
  return active_->end + length <= active_->size() && (urgent || !active_->from_reserve);
}

// Rolls until the active segment takes the record. The mutex is released while a segment is waited for.
Status Journal::Impl::MakeRoom(uint32_t length, bool urgent) {
  if (error_.ok()) ChooseZeros(length, urgent);
  while (error_.ok() && !Fits(length, urgent)) {
    if (Segment next = supply.TryTake(length, urgent)) {
      Roll(std::move(next));
      continue;
    }
    mutex_.unlock();
    Status waited = supply.Await(length, urgent);
    mutex_.lock();
    if (!waited.ok() && !Fits(length, urgent)) return error_.ok() ? waited : error_;  // else another one has rolled
  }
  return error_;
}

void Journal::Impl::Roll(Segment next) {
  closing_.push_back(active_);
  supply.Seal(std::move(active_));
  active_ = std::move(next);
}

Status Journal::Impl::Write(const RecordHeader& header, const Body& body) {
  DKFS_TRY(Fault::Pass("journal.append"));
  Vector vector;
  const uint64_t end = active_->end + header.length;
  const uint64_t zeros = active_->bare ? 0 : std::min(active_->size(), EndOfPages(end)) - end;
  vector.Fill(header, active_->header().salt, body, zeros);
  return file::WriteVectorAt(active_->fd(), vector.parts, vector.count, active_->end, active_->name());
}

// What there is of a record that was not written to its end goes, and durably: the next one may stand in another
// segment, where recovery looks for it only if this one ends in zeros. The rest of it stays behind them: no more bare.
Status Journal::Impl::TakeBack() {
  std::array<std::byte, kRecordHeaderBytes> head;
  DKFS_TRY_ASSIGN(const size_t n, file::ReadAt(active_->fd(), head, active_->end, active_->name()));
  if (IsAllZero(Bytes(head).first(n))) return Status::Ok();
  active_->bare = false;
  DKFS_TRY(file::WriteAt(active_->fd(), {kZeros, n}, active_->end, active_->name()));
  return active_->Datasync();
}

Result<Appended> Journal::Impl::Append(const Body& body, uint64_t request, bool urgent, const OnAppend& on_append) {
  DKFS_CHECK(body.count <= kMaxParts);
  const uint64_t length = RoundUp(kRecordHeaderBytes + uint64_t{body.bytes}, 8);
  const uint64_t expanded = body.flags != 0 ? body.expanded_bytes : body.bytes;
  if (const uint64_t most = std::max(length, expanded); most > kMaxRecordBytes) {
    return Status::Error(E2BIG, "append a record of " + std::to_string(most) + " bytes");
  }
  MutexLock lock(mutex_);
  DKFS_TRY(MakeRoom(static_cast<uint32_t>(length), urgent));
  RecordHeader header;
  header.length = static_cast<uint32_t>(length);
  header.stored_bytes = body.bytes;
  header.body_bytes = static_cast<uint32_t>(expanded);
  header.flags = body.flags;
  header.item_count = body.items;
  header.body_checksum = body.checksum;
  header.seq = Seq(appended.load(std::memory_order_relaxed) + 1);
  header.synced = commit.synced();
  header.time = options_.clock.wall();
  header.request = request;
  if (Status written = Write(header, body); !written.ok()) {
    const bool full = written.code() == ENOSPC || written.code() == EDQUOT;
    if (Status back = full ? TakeBack() : written; !back.ok()) Fail(back);
    full_ = written;
    full_ns_ = options_.clock.monotonic_ns();
    return written;
  }
  if (!full_.ok()) full_ = Status::Ok();
  const Appended at = AppendedAt(header, active_->header().id, active_->end);
  if (!active_->first) active_->first = header.seq;
  active_->last = header.seq;
  active_->end += length;
  appended.store(header.seq.value, std::memory_order_release);
  records.fetch_add(1, std::memory_order_relaxed);
  bytes.fetch_add(length, std::memory_order_relaxed);
  expanded_bytes.fetch_add(length - header.stored_bytes + header.body_bytes, std::memory_order_relaxed);
  if (on_append) on_append(at);
  return at;
}

void Journal::Impl::Fail(const Status& error) {
  if (!error_.ok()) return;
  error_ = error;
  Log(LogLevel::kError, "journal_failed",
      {{"error", error.ToString()}, {"hint", "nothing is recorded any more: mend the store's disk and mount again"}});
}

// Makes durable what has been appended by now. The rolled segments first: their records come before (J3).
Result<Seq> Journal::Impl::Flush() {
  Seq target;
  {
    MutexLock lock(mutex_);
    if (!error_.ok()) return error_;
    target = Seq(appended.load(std::memory_order_relaxed));
    flushing_ = closing_;
    flushing_.push_back(active_);
  }
  const uint64_t begin = options_.clock.monotonic_ns();
  for (const Segment& segment : flushing_) {
    Status synced = segment->Datasync();
    if (synced.ok()) continue;
    flushing_.clear();
    MutexLock lock(mutex_);
    Fail(synced);
    return synced;
  }
  flushing_.clear();
  last_sync_ns_ = options_.clock.monotonic_ns() - begin;
  syncs.fetch_add(1, std::memory_order_relaxed);
  sync_ns.fetch_add(last_sync_ns_, std::memory_order_relaxed);
  return target;
}

void Journal::Impl::OnSealed(const Segment& segment, const Status& status) {
  MutexLock lock(mutex_);
  if (!status.ok()) return Fail(status);  // it stays in closing_: the next Flush meets the error too
  std::erase(closing_, segment);
  const SegmentInfo info = InfoOf(*segment);
  sealed_.insert(std::find_if(sealed_.begin(), sealed_.end(), [&](const SegmentInfo& s) { return s.id > info.id; }),
                 info);
}

// The new segment's header tells its first Seq, which says that all before is synced (J5): so it is synced first, and
// appenders wait meanwhile.
Status Journal::Impl::Seal() {
  {
    MutexLock lock(mutex_);
    DKFS_TRY(error_);
    if (!active_->last) return Status::Ok();
    for (const Segment& segment : closing_) DKFS_TRY(segment->Datasync());
    DKFS_TRY(active_->Datasync());
    commit.Raise(active_->last);
    DKFS_TRY_ASSIGN(Segment next, FirstSegment());
    Roll(std::move(next));
  }
  supply.AwaitSealed();
  return error();
}

// Waits until what follows the segment can tell its first Seq after loss of power (J6).
Status Journal::Impl::AwaitFollower(SegmentId id) {
  Seq first;
  {
    MutexLock lock(mutex_);
    const auto known = [&](SegmentId other, Seq seq) {
      if (other > id && seq && (!first || seq < first)) first = seq;
    };
    for (const SegmentInfo& s : sealed_) known(s.id, s.first);
    for (const Segment& s : closing_) known(s->header().id, s->first);
    known(active_->header().id, active_->header().first_seq ? active_->header().first_seq : active_->first);
  }
  if (!first) return Status::Error(EBUSY, "delete the last segment of the journal");
  return first.value > appended ? Status::Ok() : commit.Follow(first);
}

Status Journal::Impl::Delete(SegmentId id, bool keep_file) {
  {
    MutexLock lock(mutex_);
    if (std::none_of(sealed_.begin(), sealed_.end(), [&](const SegmentInfo& s) { return s.id == id; })) {
      return Status::Error(ENOENT, "delete journal segment " + std::to_string(id.value));
    }
  }
  DKFS_TRY(AwaitFollower(id));
  DKFS_TRY(Fault::Pass("journal.delete"));
  const Status gone = supply.TakeBack(id, keep_file);
  if (!gone.ok() && !gone.IsNotFound()) return gone;
  MutexLock lock(mutex_);
  std::erase_if(sealed_, [&](const SegmentInfo& s) { return s.id == id; });
  return gone;
}

std::vector<SegmentInfo> Journal::Impl::Sealed() const {
  MutexLock lock(mutex_);
  return sealed_;
}

uint64_t Journal::Impl::DiskBytes() const {
  uint64_t total = supply.DiskBytes();
  MutexLock lock(mutex_);
  for (const SegmentInfo& s : sealed_) total += s.bytes;
  for (const Segment& s : closing_) total += s->size();
  return total + active_->size();
}

Status Journal::Impl::error() const {
  MutexLock lock(mutex_);
  return error_;
}

Status Journal::Impl::shortage() const {
  DKFS_TRY(supply.shortage());
  MutexLock lock(mutex_);
  return options_.clock.monotonic_ns() - full_ns_ < kFullNs ? full_ : Status::Ok();
}

Result<std::unique_ptr<Journal>> Journal::Open(const std::string& path, const Uuid& uuid, JournalPosition from,
                                               const JournalOptions& options, const Replay& replay) {
  DKFS_TRY(file::MakeDirs(path));
  DKFS_TRY_ASSIGN(UniqueFd dir, file::Open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY));
  DKFS_TRY_ASSIGN(const Recovered recovered, RecoverJournal(dir.get(), uuid, from, replay));
  SegmentHeader proto;
  proto.store = uuid;
  proto.epoch = recovered.epoch + 1;
  auto impl = std::make_unique<Impl>(std::move(dir), recovered, proto, options);
  DKFS_TRY(impl->Begin(recovered.blanks));
  return std::unique_ptr<Journal>(new Journal(std::move(impl)));
}

Journal::Journal(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Journal::~Journal() = default;

Result<Appended> Journal::Append(const Body& body, uint64_t request, bool urgent, const OnAppend& on_append) {
  return impl_->Append(body, request, urgent, on_append);
}

void Journal::AwaitRoom() { impl_->supply.AwaitRoom(); }

void Journal::Barrier(Seq seq, Done done) {
  impl_->barriers.fetch_add(1, std::memory_order_relaxed);
  impl_->commit.Barrier(std::min(seq, appended()), std::move(done));
}

Status Journal::BarrierAndWait(Seq seq) {
  impl_->barriers.fetch_add(1, std::memory_order_relaxed);
  return impl_->commit.Sync(std::min(seq, appended()));
}

Status Journal::Sync(Seq seq) { return impl_->commit.Follow(std::min(seq, appended())); }
Seq Journal::appended() const { return Seq(impl_->appended.load(std::memory_order_acquire)); }
Seq Journal::synced() const { return impl_->commit.synced(); }
Status Journal::error() const { return impl_->error(); }
Status Journal::shortage() const { return impl_->shortage(); }
uint64_t Journal::epoch() const { return impl_->epoch; }
std::vector<SegmentInfo> Journal::SealedSegments() const { return impl_->Sealed(); }
Status Journal::Delete(SegmentId id, bool keep_file) { return impl_->Delete(id, keep_file); }
Status Journal::DropKeptFiles() { return impl_->supply.DropKept(); }
SegmentId Journal::NewSegmentId() { return impl_->supply.NewId(); }
uint64_t Journal::DiskBytes() const { return impl_->DiskBytes(); }
Status Journal::Seal() { return impl_->Seal(); }

JournalStats Journal::stats() const {
  return {.records = impl_->records,
          .bytes = impl_->bytes,
          .expanded_bytes = impl_->expanded_bytes,
          .syncs = impl_->syncs,
          .sync_ns = impl_->sync_ns,
          .barriers = impl_->barriers};
}

}  // namespace dkfs
