#include "store/journal/segment_supply.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <chrono>

#include "store/base/clock.h"
#include "store/base/file.h"
#include "store/base/log.h"

namespace dkfs {
namespace {

constexpr int kNice = 10;
constexpr auto kRetry = std::chrono::seconds(2);       // looks whether space has returned, when nobody asks
constexpr auto kLook = std::chrono::milliseconds(50);  // how often retention is asked whether it caught up
constexpr uint64_t kSayAgainNs = 60'000'000'000;
constexpr size_t kMostKept = 4;

}  // namespace

SegmentSupply::SegmentSupply(int dirfd, const SegmentHeader& proto, SegmentId next_id, const Limits& limits,
                             OnSealed on_sealed, Behind behind)
    : dirfd_(dirfd),
      proto_(proto),
      limits_(limits),
      on_sealed_(std::move(on_sealed)),
      behind_(std::move(behind)),
      next_id_(next_id) {}

SegmentSupply::~SegmentSupply() {
  {
    MutexLock lock(mutex_);
    stop_ = true;
    work_.SignalAll();
  }
  if (thread_.joinable()) thread_.join();
}

void SegmentSupply::Start() {
  thread_ = std::thread([this] {
    ::setpriority(PRIO_PROCESS, 0, kNice);  // of this thread only; being refused does no harm
    Run();
  });
}

bool SegmentSupply::HasWork() const {
  return !sealing_.empty() || wanted_.ticket > attempted_ || held_ || (spare_ == nullptr && plain_.ok());
}

void SegmentSupply::Rest() {
  const auto until = std::chrono::steady_clock::now() + limits_.spare_after;
  while (!stop_ && sealing_.empty() && wanted_.ticket <= attempted_) {
    const auto left = until - std::chrono::steady_clock::now();
    if (left <= left.zero() || !work_.WaitFor(mutex_, left)) return;
  }
}

void SegmentSupply::Run() {
  mutex_.lock();
  Rest();
  for (;;) {
    while (!stop_ && !HasWork()) {
      const bool short_of_space = !plain_.ok() || spare_ == nullptr || reserve_ < limits_.reserve_bytes;
      if (!short_of_space) {
        work_.Wait(mutex_);
      } else if (!work_.WaitFor(mutex_, kRetry)) {
        break;
      }
    }
    if (stop_ && sealing_.empty()) break;
    const bool seal = !sealing_.empty() && (stop_ || wanted_.ticket <= attempted_);
    const Attempt attempt = wanted_;
    const bool awaited = attempt.ticket > attempted_;
    if (!seal) wanted_ = Attempt{.ticket = wanted_.ticket};
    mutex_.unlock();
    if (seal) {
      SealOne();  // the first thing: retention waits for it
    } else if (!AskIfBehind() || awaited) {
      Prepare(attempt);
    } else {
      Pause();
    }
    mutex_.lock();
  }
  mutex_.unlock();
}

// Whether retention is behind, and with that whether writers are held back.
bool SegmentSupply::AskIfBehind() {
  const bool behind = behind_ != nullptr && behind_();
  if (const uint64_t now = MonotonicNs(); behind && (said_held_ns_ == 0 || now - said_held_ns_ > kSayAgainNs)) {
    said_held_ns_ = now;
    Log(LogLevel::kInfo, "writers_held_back", {{"hint", "the budget is small for what is written; see --budget"}});
  }
  MutexLock lock(mutex_);
  held_ = behind;
  if (!behind) done_.SignalAll();
  return behind;
}

// Until it is time to ask again, or there is other work.
void SegmentSupply::Pause() {
  MutexLock lock(mutex_);
  if (!stop_ && wanted_.ticket <= attempted_ && sealing_.empty()) work_.WaitFor(mutex_, kLook);
}

void SegmentSupply::SealOne() {
  Segment segment;
  {
    MutexLock lock(mutex_);
    segment = sealing_.front();
  }
  const Status sealed = segment->Seal();
  on_sealed_(segment, sealed);
  // A stream went through it. Its pages serve the next segment; packing reads this one from the disk.
  if (sealed.ok() && segment->bare) file::DropCached(segment->fd());
  MutexLock lock(mutex_);
  sealing_.pop_front();
  done_.SignalAll();
}

void SegmentSupply::AwaitSealed() {
  MutexLock lock(mutex_);
  while (!sealing_.empty()) done_.Wait(mutex_);
}

void SegmentSupply::Seal(Segment segment) {
  MutexLock lock(mutex_);
  sealing_.push_back(std::move(segment));
  work_.Signal();
}

SegmentId SegmentSupply::NewId() {
  MutexLock lock(mutex_);
  const SegmentId id = next_id_;
  next_id_ = SegmentId(id.value + 1);
  return id;
}

SegmentHeader SegmentSupply::NewHeader(Seq first) {
  SegmentHeader header = proto_;
  header.id = NewId();
  header.salt = RandomSalt();
  header.first_seq = first;
  return header;
}

uint64_t SegmentSupply::RoomFor(uint64_t bytes) const { return RoundUp(kSegmentHeaderBytes + bytes, kPage); }

bool SegmentSupply::Leaves(uint64_t room, uint64_t size) const {
  struct statvfs disk;
  return room == 0 || ::fstatvfs(dirfd_, &disk) != 0 || disk.f_bfree * disk.f_frsize >= size + room;
}

// As large as can be had: the full size, else halves down to an eighth.
Result<SegmentSupply::Segment> SegmentSupply::MakeSpare(uint64_t bytes, uint64_t room) {
  if (Result<Segment> kept = MakeOfKept(bytes); kept.ok()) return kept;
  uint64_t size = std::max(limits_.segment_bytes, RoomFor(bytes));
  const uint64_t least = std::max(limits_.segment_bytes / 8, RoomFor(bytes));
  const bool zeros = zeros_.load(std::memory_order_relaxed);
  for (;;) {
    Result<UniqueFd> fd = Status::Error(ENOSPC, "prepare a segment: what is left is for retention");
    if (Leaves(room, size)) fd = PrepareFile(dirfd_, kSpareName, size, zeros);
    if (fd.ok()) {
      DKFS_TRY_ASSIGN(Segment made, PublishSegment(dirfd_, kSpareName, std::move(*fd), size, NewHeader(Seq{})));
      made->bare = !zeros;
      return made;
    }
    if (fd.code() != ENOSPC || size / 2 < least) return fd.status();
    size = RoundUp(size / 2, kPage);
  }
}

Result<SegmentSupply::Segment> SegmentSupply::MakeOfKept(uint64_t bytes) {
  if (RoomFor(bytes) > limits_.segment_bytes) return Status::Error(ENOENT);
  SegmentId id;
  {
    MutexLock lock(mutex_);
    if (kept_.empty()) return Status::Error(ENOENT);
    id = kept_.front().id;
    kept_.pop_front();
  }
  DKFS_TRY_ASSIGN(UniqueFd fd, ReopenFile(dirfd_, ReuseName(id), limits_.segment_bytes));
  return PublishSegment(dirfd_, ReuseName(id), std::move(fd), limits_.segment_bytes, NewHeader(Seq{}));
}

Status SegmentSupply::TakeBack(SegmentId id, bool keep) {
  const std::string name = SegmentName(id, SegmentKind::kJournal);
  DKFS_TRY_ASSIGN(const struct stat st, file::Stat(dirfd_, name));
  const uint64_t bytes = static_cast<uint64_t>(st.st_size);
  {
    MutexLock lock(mutex_);
    keep = keep && kept_.size() < kMostKept && bytes <= limits_.segment_bytes && bytes > limits_.segment_bytes / 8 * 7;
  }
  DKFS_TRY(keep ? file::Rename(dirfd_, name, ReuseName(id)) : file::Unlink(dirfd_, name));
  DKFS_TRY(file::SyncDir(dirfd_, "."));  // before anything is written to it
  if (!keep) return Status::Ok();
  MutexLock lock(mutex_);
  kept_.push_back({id, bytes});
  return Status::Ok();
}

Status SegmentSupply::DropKept() {
  MutexLock work(work_mutex_);
  std::deque<Kept> kept;
  {
    MutexLock lock(mutex_);
    kept.swap(kept_);
  }
  for (const Kept& k : kept) DKFS_TRY(file::Unlink(dirfd_, ReuseName(k.id)));
  return Status::Ok();
}

Result<SegmentSupply::Segment> SegmentSupply::MakeOfReserve(uint64_t bytes, Seq first) {
  uint64_t size;
  {
    MutexLock lock(mutex_);
    size = reserve_;
  }
  if (size < RoomFor(bytes)) return Status::Error(ENOSPC, "the journal's reserve is used up");
  DKFS_TRY_ASSIGN(UniqueFd fd, file::Open(dirfd_, kReserveName, O_RDWR));
  DKFS_TRY_ASSIGN(Segment segment, PublishSegment(dirfd_, kReserveName, std::move(fd), size, NewHeader(first)));
  segment->from_reserve = true;
  MutexLock lock(mutex_);
  reserve_ = 0;
  return segment;
}

// A spare gives way only to another one: that of the reserve may be all there is.
void SegmentSupply::Prepare(const Attempt& attempt) {
  MutexLock work(work_mutex_);
  Status plain, urgent;
  if (!HasSpare(attempt.bytes, false)) {
    plain = urgent = SetSpare(MakeSpare(attempt.bytes, limits_.room_bytes));
    if (!plain.ok() && attempt.urgent) {
      urgent = HasSpare(attempt.bytes, true) ? Status::Ok() : SetSpare(MakeOfReserve(attempt.bytes, Seq{}));
      if (!urgent.ok()) urgent = SetSpare(MakeSpare(attempt.bytes, 0));
    }
  }
  {
    MutexLock lock(mutex_);
    if (!plain.ok() && plain_.ok()) {
      Log(LogLevel::kWarn, "no_journal_segment", {{"error", plain.ToString()}, {"hint", "free space for the store"}});
    }
    plain_ = plain;
    if (plain.ok() || attempt.urgent) urgent_ = urgent;
    attempted_ = attempt.ticket;
    done_.SignalAll();
  }
  if (plain.ok()) MakeReserveLocked().Ignore("tried again while it is missing; status shows DiskBytes");
}

bool SegmentSupply::HasSpare(uint64_t bytes, bool urgent) const {
  MutexLock lock(mutex_);
  return SpareServes(bytes, urgent);
}

bool SegmentSupply::SpareServes(uint64_t bytes, bool urgent) const {
  return spare_ != nullptr && spare_->size() >= RoomFor(bytes) && (urgent || !spare_->from_reserve);
}

Status SegmentSupply::SetSpare(Result<Segment> made) {
  DKFS_TRY(made.status());
  MutexLock lock(mutex_);
  if (spare_ != nullptr) sealing_.push_back(std::move(spare_));  // an empty segment
  spare_ = std::move(*made);
  return Status::Ok();
}

Status SegmentSupply::MakeReserve() {
  MutexLock work(work_mutex_);
  return MakeReserveLocked();
}

Status SegmentSupply::MakeReserveLocked() {
  {
    MutexLock lock(mutex_);
    if (reserve_ >= limits_.reserve_bytes) return Status::Ok();
  }
  const Result<struct stat> found = file::Stat(dirfd_, kReserveName);
  const uint64_t have = found.ok() ? static_cast<uint64_t>(found->st_size) : 0;
  Status made;
  if (have > limits_.reserve_bytes) {  // of a time with a larger budget
    made = CutReserve();
  } else if (have < limits_.reserve_bytes) {
    made = ReplaceReserve();
  }
  MutexLock lock(mutex_);
  reserve_ = made.ok() ? limits_.reserve_bytes : have;
  return made;
}

Status SegmentSupply::CutReserve() {
  DKFS_TRY_ASSIGN(const UniqueFd fd, file::Open(dirfd_, kReserveName, O_RDWR));
  return file::Truncate(fd.get(), limits_.reserve_bytes, kReserveName);
}

Status SegmentSupply::ReplaceReserve() {
  if (!Leaves(limits_.room_bytes, limits_.reserve_bytes)) return Status::Error(ENOSPC, kReserveName);
  DKFS_TRY(PrepareFile(dirfd_, kReserveTempName, limits_.reserve_bytes, false).status());
  DKFS_TRY(file::Rename(dirfd_, kReserveTempName, kReserveName));
  return file::SyncDir(dirfd_, ".");
}

// A spare that does not serve has an id that comes before the new segment's, so it goes; not before there is one: on a
// full disk it may be all there is.
Result<SegmentSupply::Segment> SegmentSupply::Begin(uint64_t bytes, Seq first) {
  MutexLock work(work_mutex_);
  if (Segment spare = TakeSpare(bytes, false)) return PublishAgain(*spare, first);
  DKFS_TRY_ASSIGN(UniqueFd fd, PrepareFile(dirfd_, kSpareName, bytes, true));
  if (Segment spare = TakeSpare(0, true)) Seal(std::move(spare));
  return PublishSegment(dirfd_, kSpareName, std::move(fd), bytes, NewHeader(first));
}

Result<SegmentSupply::Segment> SegmentSupply::BeginOnReserve(Seq first) {
  MutexLock work(work_mutex_);
  if (Segment spare = TakeSpare(0, true)) return PublishAgain(*spare, first);
  return MakeOfReserve(0, first);
}

SegmentSupply::Segment SegmentSupply::TakeSpare(uint64_t size, bool urgent) {
  MutexLock lock(mutex_);
  if (spare_ == nullptr || spare_->size() < size || (spare_->from_reserve && !urgent)) return nullptr;
  return std::exchange(spare_, nullptr);
}

Result<SegmentSupply::Segment> SegmentSupply::PublishAgain(SegmentFile& spare, Seq first) {
  DKFS_TRY(file::Rename(dirfd_, spare.name(), kSpareName));
  DKFS_TRY(file::SyncDir(dirfd_, "."));  // before another header: name and header of a segment agree after any end
  DKFS_TRY_ASSIGN(Segment begun, PublishSegment(dirfd_, kSpareName, spare.TakeFd(), spare.size(), NewHeader(first)));
  begun->bare = spare.bare;
  begun->from_reserve = spare.from_reserve;
  return begun;
}

SegmentSupply::Segment SegmentSupply::TryTake(uint64_t bytes, bool urgent) {
  MutexLock lock(mutex_);
  if (!SpareServes(bytes, urgent)) return nullptr;
  work_.Signal();  // the next one
  return std::exchange(spare_, nullptr);
}

Status SegmentSupply::Await(uint64_t bytes, bool urgent) {
  MutexLock lock(mutex_);
  wanted_.bytes = std::max(wanted_.bytes, bytes);
  wanted_.urgent |= urgent;
  const uint64_t ticket = ++wanted_.ticket;
  work_.Signal();
  while (attempted_ < ticket && !stop_) done_.Wait(mutex_);
  return urgent ? urgent_ : plain_;
}

void SegmentSupply::AwaitRoom() {
  if (!held_.load(std::memory_order_relaxed)) return;
  MutexLock lock(mutex_);
  while (held_ && !stop_) done_.Wait(mutex_);
}

Status SegmentSupply::shortage() const {
  MutexLock lock(mutex_);
  return plain_;
}

uint64_t SegmentSupply::DiskBytes() const {
  MutexLock lock(mutex_);
  uint64_t total = (spare_ ? spare_->size() : 0) + reserve_;
  for (const Kept& k : kept_) total += k.bytes;
  return total;
}

}  // namespace dkfs
