// SegmentSupply: prepares the next segment ahead, keeps the reserve, and seals segments that are full; so that rolling
// costs an appender nothing. One background thread of low priority does all of it, in this order: a spare somebody
// waits for, sealing, a spare, the reserve.
//
// The reserve is a file of its own, allocated but without a header. When no spare can be allocated and an urgent record
// waits, the reserve itself is published as a segment: no byte is given back to the file system in between.
//
// A spare is filled with zeros, so that a sync of the journal needs no commit of the file system's own journal; unless
// PreferZeros(false) said that syncs are rare. The file of a deleted segment is as good and costs no writing: what
// stands in it carries another salt.
//
// Segment ids are given here, when a segment is published or a pack asks; journal segments are published one at a time
// and used in that order, so that id order is Seq order among them. Thread-safety: every function may be called from
// any thread. Lock order: journal, work_mutex_, mutex_.
#pragma once

#include <atomic>
#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <thread>

#include "store/base/mutex.h"
#include "store/journal/segment_file.h"

namespace dkfs {

class SegmentSupply {
 public:
  using Segment = std::shared_ptr<SegmentFile>;
  // Called by the background thread, without a lock of the supply, when a segment given to Seal is sealed or could not
  // be.
  using OnSealed = std::function<void(const Segment&, const Status&)>;
  using Behind = std::function<bool()>;  // see JournalOptions
  struct Limits {
    uint64_t segment_bytes = 0, reserve_bytes = 0, room_bytes = 0;
    std::chrono::milliseconds spare_after{0};  // see JournalOptions
  };

  // `proto` has the fields common to all segments of this opening. `dirfd` outlives the supply.
  SegmentSupply(int dirfd, const SegmentHeader& proto, SegmentId next_id, const Limits& limits, OnSealed on_sealed,
                Behind behind = nullptr);
  ~SegmentSupply();  // finishes the sealing that was asked for
  void Start();

  // A segment whose header says `first`, made in the calling thread. A spare that is ready gives way to it.
  Result<Segment> Begin(uint64_t bytes, Seq first) EXCLUDES(work_mutex_, mutex_);
  // The same of the reserve, or of the spare it became: the last resort on a full disk.
  Result<Segment> BeginOnReserve(Seq first) EXCLUDES(work_mutex_, mutex_);
  // A prepared segment with room for `bytes`, or null. One made of the reserve is given to urgent callers only.
  Segment TryTake(uint64_t bytes, bool urgent) EXCLUDES(mutex_);
  // Waits until TryTake may succeed: Ok, or why no segment could be prepared (ENOSPC).
  Status Await(uint64_t bytes, bool urgent) EXCLUDES(mutex_);
  void AwaitRoom() EXCLUDES(mutex_);  // see Journal
  // Whether the next spares get zeros; at first they do.
  void PreferZeros(bool zeros) { zeros_.store(zeros, std::memory_order_relaxed); }
  void Seal(Segment segment) EXCLUDES(mutex_);
  void AwaitSealed() EXCLUDES(mutex_);                 // until everything given to Seal before has been reported
  Status MakeReserve() EXCLUDES(work_mutex_, mutex_);  // when missing
  // The file of a sealed segment that is not needed any more: removed, or with `keep` and if it is worth it kept for a
  // later segment, under another name. Durable. At most four are kept.
  Status TakeBack(SegmentId id, bool keep) EXCLUDES(mutex_);
  Status DropKept() EXCLUDES(work_mutex_, mutex_);  // gives the kept ones back to the disk
  SegmentId NewId() EXCLUDES(mutex_);
  Status shortage() const EXCLUDES(mutex_);     // how the last attempt to prepare a segment ended
  uint64_t DiskBytes() const EXCLUDES(mutex_);  // spare, reserve and what is kept

 private:
  struct Attempt {  // what an Await asked for
    uint64_t bytes = 0;
    bool urgent = false;
    uint64_t ticket = 0;
  };
  void Run();
  void Rest() REQUIRES(mutex_);
  bool HasWork() const REQUIRES(mutex_);
  void SealOne() EXCLUDES(mutex_);
  bool AskIfBehind() EXCLUDES(mutex_);
  void Pause() EXCLUDES(mutex_);
  void Prepare(const Attempt& attempt) EXCLUDES(work_mutex_, mutex_);
  bool HasSpare(uint64_t bytes, bool urgent) const EXCLUDES(mutex_);
  bool SpareServes(uint64_t bytes, bool urgent) const REQUIRES(mutex_);
  Status SetSpare(Result<Segment> made) EXCLUDES(mutex_);
  Segment TakeSpare(uint64_t size, bool urgent) EXCLUDES(mutex_);  // null: there is none of that size
  Result<Segment> PublishAgain(SegmentFile& spare, Seq first) REQUIRES(work_mutex_) EXCLUDES(mutex_);
  // Whether the disk has `size` bytes, and leaves `room` behind them.
  bool Leaves(uint64_t room, uint64_t size) const;
  Result<Segment> MakeSpare(uint64_t bytes, uint64_t room) REQUIRES(work_mutex_) EXCLUDES(mutex_);
  Result<Segment> MakeOfKept(uint64_t bytes) REQUIRES(work_mutex_) EXCLUDES(mutex_);
  Result<Segment> MakeOfReserve(uint64_t bytes, Seq first) REQUIRES(work_mutex_) EXCLUDES(mutex_);
  Status MakeReserveLocked() REQUIRES(work_mutex_) EXCLUDES(mutex_);
  Status CutReserve() REQUIRES(work_mutex_);
  Status ReplaceReserve() REQUIRES(work_mutex_);
  SegmentHeader NewHeader(Seq first) EXCLUDES(mutex_);
  uint64_t RoomFor(uint64_t bytes) const;  // size of a segment file that can take a record of `bytes`

  const int dirfd_;
  const SegmentHeader proto_;
  const Limits limits_;
  const OnSealed on_sealed_;
  const Behind behind_;
  std::atomic<bool> zeros_{true};
  std::atomic<bool> held_{false};  // whoever awaits room waits; set by the thread
  Mutex work_mutex_;               // held while a file is made
  mutable Mutex mutex_ ACQUIRED_AFTER(work_mutex_);
  CondVar work_, done_;
  SegmentId next_id_ GUARDED_BY(mutex_);
  Segment spare_ GUARDED_BY(mutex_);
  uint64_t reserve_ GUARDED_BY(mutex_) = 0;  // its size, 0 when there is none
  struct Kept {
    SegmentId id;
    uint64_t bytes = 0;
  };
  std::deque<Kept> kept_ GUARDED_BY(mutex_);
  std::deque<Segment> sealing_ GUARDED_BY(mutex_);
  Attempt wanted_ GUARDED_BY(mutex_);
  uint64_t attempted_ GUARDED_BY(mutex_) = 0;  // the highest ticket that has been tried for
  Status plain_ GUARDED_BY(mutex_);            // how the last attempt ended for records that are not urgent
  Status urgent_ GUARDED_BY(mutex_);           // and for those that are, where it was made for them
  bool stop_ GUARDED_BY(mutex_) = false;
  uint64_t said_held_ns_ = 0;  // of the thread: when the log was last told that writers wait
  std::thread thread_;
};

}  // namespace dkfs
