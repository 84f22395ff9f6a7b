// Session: one FUSE connection and the threads that serve it.
//
// With FUSE over io_uring (see ring.h) most requests come through shared memory instead, to more threads of that kind.
//
// The connection is an opened and mounted /dev/fuse, or in tests one end of a SOCK_SEQPACKET pair. Requests are read by
// a fixed pool of threads that live as long as the session; each serves its request to the end (fsync excepted, which
// is answered by the store's committer; through io_uring it is too). Not for mounting or unmounting: fs/daemon does
// that.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "fs/fuse/request_stats.h"
#include "fs/hotness/request_counts.h"
#include "fs/ops/file_system.h"
#include "store/base/status.h"
#include "store/base/unique_fd.h"

namespace dkfs {

enum class RingUse { kNever, kIfOffered, kAlways };

struct SessionOptions {
  bool writeback_cache = false;     // order=fsync: the kernel holds dirty pages and their size and times
  unsigned threads = 8;             // at least 1; more than CPUs, since requests wait for disks
  RequestCounts* counts = nullptr;  // told of each write done and each fsync asked for; borrowed; may be null
  // Has the kernel hand over what is dirty of a range in its cache. False: not known whether it is clean now. Any
  // thread. Null: as if it said so.
  std::function<bool(FileId file, uint64_t offset, uint64_t length)> hand_over;
  RingUse ring = RingUse::kNever;  // FUSE over io_uring; kAlways: Run fails without it
};

// How requests come from the kernel.
struct Transport {
  bool io_uring = false;       // else /dev/fuse alone
  std::string reason;          // why, in a few words; empty while nobody has been asked
  uint64_t ring_requests = 0;  // that came through io_uring
};

class Session {
 public:
  // `file_system` must outlive the session. EPROTO when libfuse refuses.
  static Result<std::unique_ptr<Session>> Create(UniqueFd connection, FileSystem* file_system,
                                                 const SessionOptions& options);
  ~Session();  // REQUIRES: Run is not running

  // Serves until the connection ends (unmounted and the last user gone, or aborted) or Exit. `on_ready` is called once,
  // in the calling thread, when the kernel and dkfs have agreed on the protocol. EPROTO when they cannot,
  // EOPNOTSUPP when io_uring was asked for and is not to be had.
  Status Run(const std::function<void()>& on_ready);
  // Makes Run return after the requests being served; callers that still use the mount get ENOTCONN then. Any thread.
  void Exit();
  RequestSnapshot Requests() const;  // any thread, as the next
  Transport GetTransport() const;

 private:
  class Impl;
  explicit Session(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace dkfs
