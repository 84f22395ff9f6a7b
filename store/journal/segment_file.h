// SegmentFile: one journal segment that this process made; and how segments come into being and are sealed.
//
// Making one (Prepare, Publish), and what a crash leaves behind it:
//   1 "spare.tmp" is created, allocated, written with zeros, fsynced    -> removed at the next open
//   2 its header is written and fsynced                                 -> removed at the next open
//   3 it is renamed to its segment name, the directory is fsynced       -> an empty segment: no record; removed at the
//                                                                          next open once a newer one is durable
// So a segment's name and header are durable before its first record is written: a bad header is always damage, never
// the work of a crash, and rolling on to a prepared segment is an assignment. Because the first Seq is not known yet
// when a spare is published, its header says first_seq 0; its first record tells (segments begun in step, at open and
// by Seal, say it in the header). Zeros are written, not only allocated, so that a later fdatasync finds nothing to
// commit in ext4; except where there were few syncs lately (`bare`): there they would only double what is written.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "store/base/mutex.h"
#include "store/base/status.h"
#include "store/base/unique_fd.h"
#include "store/format/segment.h"

namespace dkfs {

inline constexpr uint64_t kPage = 4096;  // of the page cache, at least; prepared files are whole pages long

class SegmentFile {
 public:
  SegmentFile(UniqueFd fd, const SegmentHeader& header, uint64_t size)
      : fd_(std::move(fd)), header_(header), name_(SegmentName(header.id, header.kind)), size_(size) {}

  int fd() const { return fd_.get(); }
  const SegmentHeader& header() const { return header_; }
  const std::string& name() const { return name_; }
  uint64_t size() const { return size_; }

  // Makes the data durable. One caller at a time: the kernel tells a write error only once for each descriptor, so the
  // answer is kept, and whoever comes later gets it too.
  Status Datasync() EXCLUDES(sync_mutex_);
  // Cuts the file to `end` and syncs it. REQUIRES: no writer any more.
  Status Seal() EXCLUDES(sync_mutex_);
  uint64_t syncs() const { return syncs_.load(std::memory_order_relaxed); }  // how often Datasync was asked for
  UniqueFd TakeFd() { return std::move(fd_); }                               // gives a published, unused spare back

  // Guarded by the journal's mutex while the segment is active, constant afterwards.
  uint64_t end = kSegmentHeaderBytes;
  Seq first, last;
  bool from_reserve = false;  // for urgent records only
  bool bare = false;          // allocated, never written behind `end`; others may hold bytes of a former life there

 private:
  UniqueFd fd_;
  const SegmentHeader header_;
  const std::string name_;
  const uint64_t size_;
  std::atomic<uint64_t> syncs_{0};
  Mutex sync_mutex_;
  Status failed_ GUARDED_BY(sync_mutex_);
};

// Creates `name` in the directory, `bytes` long, allocated and synced; with `zero`, zeros are written too.
// On error nothing is left behind.
Result<UniqueFd> PrepareFile(int dirfd, const std::string& name, uint64_t bytes, bool zero);
// Makes a file that has been a segment `bytes` long again; zeros are written where it was cut. On error it is removed.
Result<UniqueFd> ReopenFile(int dirfd, const std::string& name, uint64_t bytes);
// Steps 2 and 3: makes the prepared file `name` the segment `header` describes.
Result<std::shared_ptr<SegmentFile>> PublishSegment(int dirfd, const std::string& name, UniqueFd fd, uint64_t size,
                                                    const SegmentHeader& header);
uint64_t RandomSalt();

inline constexpr const char* kSpareName = "spare.tmp";
// A deleted segment's file, "reuse-NUMBER.tmp": the next spare need not be filled with zeros.
std::string ReuseName(SegmentId id);
bool IsReuseName(const std::string& name);
inline constexpr const char* kReserveName = "reserve";
inline constexpr const char* kReserveTempName = "reserve.tmp";

}  // namespace dkfs
