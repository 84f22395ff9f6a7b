// The journal: every record once, in one order, in preallocated segment files; and the group commit.
//
// Invariants
//   J1  Seqs are consecutive, and file order is Seq order: the place and the Seq are given, and the bytes written,
//       under one mutex (ext4 serialises writes to one file anyway; docs/decisions/0001). So there are no unfilled
//       places: after a kill only the last record can be torn.
//   J2  When Append returns, the record is in the page cache: it survives a kill of the process, not of the machine.
//   J3  synced() never exceeds what fdatasync has covered in every segment up to it.
//   J4  A failed write or sync of a segment is sticky: every later Append, Sync and Barrier that asks for more than
//       synced() answers that error, and nothing unsynced is ever answered as synced. (Failing to prepare a segment is
//       not: no record is touched, that Append fails, mostly with ENOSPC, and the next one tries again. Nor is a write
//       into one that finds no space, as where the file system copies on write: what it left is taken back.)
//   J5  After recovery the last segment is cut to its last whole record and everything kept is synced; what came after
//       a gap is removed for good; only then a new segment is begun, with a higher epoch and its first Seq in the
//       header. So a header that tells its first Seq proves that every record before was synced.
//   J6  Name and header of a segment are durable before its first record is written, and the oldest journal segment on
//       disk can always tell its first Seq.
//
// States of a segment:  spare --(roll)--> active --(roll, recovery)--> sealed --(gc)--> deleted
// Parts: segment_file (one file), segment_supply (spare, reserve, sealing), group_commit, recovery, segment_scan.
#pragma once

#include <sys/uio.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "store/base/clock.h"
#include "store/base/status.h"
#include "store/format/ids.h"
#include "store/format/record.h"
#include "store/format/segment.h"

namespace dkfs {

struct JournalOptions {
  uint64_t segment_bytes = 64 << 20;  // 1 MiB .. 1 GiB; the first segment after open is segment_bytes / 8
  // How long after the open the first spare segment is prepared, unless it is needed before: so that opening has the
  // disk for itself.
  std::chrono::milliseconds spare_after{0};
  // Left on the disk by all that is not for unlink, truncate and rmdir: what retention needs to make room at all.
  uint64_t room_bytes = 0;
  uint64_t reserve_bytes = 32 << 20;  // kept allocated beside the segments, given up for unlink, truncate, rmdir (G8)
  Clock clock;
  // Asked before a segment is prepared. True holds back who calls AwaitRoom, and the segment while nobody needs it, so
  // that writers do not run away from retention; then it is asked every 50 ms and must not stay true for ever. Called
  // without a lock, in the journal's own thread.
  std::function<bool()> behind;
  // For metrics: after each flush, how long it took and how many barriers it answered. No lock is held.
  std::function<void(uint64_t sync_ns, int group)> on_sync;
};

// Where the journal's tail begins for recovery: the place after the last record the durable index holds.
struct JournalPosition {
  Seq last;           // the last Seq before the tail
  SegmentId segment;  // 0: from the first segment there is
  uint64_t offset = 0;
};

// What a place in the journal says about one appended record.
struct Appended {
  Seq seq;
  SegmentId segment;
  uint32_t offset = 0;  // of the record header in the segment file
  uint32_t length = 0;  // header, body and padding: the next record begins at offset + length
  TimeSpec time;
  SegmentKind kind = SegmentKind::kJournal;  // kPack: a frame read back; seq is the highest as_of in it
  bool compressed = false;                   // the body lies there compressed
};
inline Appended AppendedAt(const RecordHeader& header, SegmentId segment, uint64_t offset,
                           SegmentKind kind = SegmentKind::kJournal) {
  return {header.seq, segment, static_cast<uint32_t>(offset), header.length, header.time, kind, header.compressed()};
}

struct SegmentInfo {
  SegmentId id;
  SegmentKind kind = SegmentKind::kJournal;
  Seq first;
  Seq last;  // 0 for an empty one; an upper bound when the segments behind it were deleted before the open
  uint64_t bytes = 0;
};

struct JournalStats {
  uint64_t records = 0, bytes = 0, expanded_bytes = 0;  // the latter before compression
  uint64_t syncs = 0, sync_ns = 0, barriers = 0;
};

class Journal {
 public:
  // Called for each record of the tail, in Seq order, during Open. `stored` is the body as it is stored.
  using Replay = std::function<Status(const RecordHeader&, const Appended&, Bytes stored)>;
  // Called once for each barrier, in any thread, with no lock held: Ok when everything up to its Seq is synced.
  // It may call Barrier, but must not wait for another one (it runs in the thread that flushes).
  using Done = std::function<void(Status)>;

  // Opens the journal in directory `path` (created when missing) of store `uuid` and raises the writer epoch.
  // Replays the tail after `from`, then syncs it (J5) before returning. Errors: EUCLEAN for a gap at or below the
  // highest synced mark seen, or for a segment that must be there and is not; ENOTSUP for a newer format.
  static Result<std::unique_ptr<Journal>> Open(const std::string& path, const Uuid& uuid, JournalPosition from,
                                               const JournalOptions& options, const Replay& replay);
  ~Journal();

  // One record whose stored body is the parts in order; zeros pad it to a multiple of 8. `urgent` may use the reserve
  // (G8). ENOSPC: no room now. E2BIG: larger than kMaxRecordBytes, stored or expanded. The parts stay as they are.
  // `on_append` runs under the journal's mutex, so callbacks come in Seq order; it must be short and not call back.
  struct Body {
    const struct iovec* parts = nullptr;
    int count = 0;  // at most 62
    uint32_t bytes = 0;
    uint32_t items = 0;
    uint64_t checksum = 0;        // Hash64 over the parts
    uint16_t flags = 0;           // RecordFlags: how it was compressed; 0: it is stored as it is
    uint32_t expanded_bytes = 0;  // of the body when it was compressed
  };
  using OnAppend = std::function<void(const Appended&)>;
  Result<Appended> Append(const Body& body, uint64_t request, bool urgent, const OnAppend& on_append);

  // To be called before a change that takes space, with no lock held that others need: waits while retention is behind.
  // Append does not, so what is under way goes on.
  void AwaitRoom();

  // Group commit. A Seq beyond appended() stands for appended(). If `seq` is synced, `done` runs at once. Otherwise the
  // caller either becomes the leader, flushes (once for everybody who waits) and runs all callbacks it covered, or
  // leaves `done` to the leader and returns.
  void Barrier(Seq seq, Done done);
  Status BarrierAndWait(Seq seq);
  Status Sync(Seq seq);  // the same, for what is no barrier of an application: never flushes in the calling thread

  Seq appended() const;  // survives a kill
  Seq synced() const;    // survives loss of power
  Status error() const;  // the sticky error, or Ok
  // Why the last segment or record was not made (ENOSPC, ...); Ok when one can be had again. That is not known of a
  // record until one is written, so what is said of it ends after 10 s without another attempt.
  Status shortage() const;
  uint64_t epoch() const;
  std::vector<SegmentInfo> SealedSegments() const;  // journal segments only, oldest first
  // Removes a sealed segment's file; the caller has made sure that nothing durable points into it. Syncs the record
  // that follows the segment first (J6). ENOENT: not sealed.
  // With `keep_file` its disk space may stay in use, for a segment to come.
  Status Delete(SegmentId id, bool keep_file = false);
  Status DropKeptFiles();      // gives that space back
  SegmentId NewSegmentId();    // for a pack
  uint64_t DiskBytes() const;  // all journal segments, spare and reserve included
  JournalStats stats() const;
  Status Seal();  // ends the active segment now, if it has records, and waits until it is sealed (clean unmount, tests)

 private:
  class Impl;
  explicit Journal(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace dkfs
