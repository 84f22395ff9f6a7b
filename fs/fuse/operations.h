// The trampolines between libfuse and FileSystem: decode, call one function, map the error, reply. They decide nothing.
#pragma once

#include <atomic>
#include <functional>

#include "fs/fuse/low_level.h"
#include "fs/fuse/reply.h"
#include "fs/hotness/request_counts.h"
#include "store/base/log.h"

namespace dkfs {

class RingPlace;

// What every trampoline finds as the session's user data.
struct Connection {
  FileSystem* file_system = nullptr;
  RequestStats* stats = nullptr;
  RequestCounts* counts = nullptr;  // of hotness; may be null
  fuse_session* session = nullptr;
  std::function<bool(FileId, uint64_t, uint64_t)> hand_over;  // SessionOptions
  bool awaits_writes = false;  // in the kernel a page is under writeback until the daemon has answered
  bool writeback_cache = false;
  bool initialised = false;
  bool setxattr_ext = false;  // SETXATTR has flags of its own; false before Linux 5.13: its struct ends before them
  uint64_t ring_init = 0;     // the INIT whose answer takes up the kernel's offer of io_uring; 0: none
  // Requests whose answer another thread owes; the session waits for them before it ends.
  std::atomic<uint32_t> owed{0};
};

// Counts one owed answer for as long as it lives.
class OwedGuard {
 public:
  explicit OwedGuard(Connection* connection) : connection_(connection) { connection_->owed.fetch_add(1); }
  OwedGuard(const OwedGuard&) = delete;
  ~OwedGuard() {
    if (connection_->owed.fetch_sub(1) == 1) connection_->owed.notify_all();
  }

 private:
  Connection* connection_;
};

// The raw request this thread is serving, for what libfuse 3.17 does not pass on. Valid during a trampoline.
struct RawRequest {
  const fuse_in_header* header = nullptr;
  const void* body = nullptr;  // the operation's own struct; complete (session.cc checks lengths)
  RingPlace* place = nullptr;  // where it came from; null: /dev/fuse
};
RawRequest& CurrentRequest();

inline FileId FileOf(fuse_ino_t ino) { return FileId(ino); }
Caller CallerOf(fuse_req_t request);

// Runs `body(FileSystem&, Reply&)`. The only place where an exception (of a library) ends: the request gets EIO.
template <class Body>
void Serve(fuse_req_t request, FuseOp op, Body&& body) {
  auto* connection = static_cast<Connection*>(fuse_req_userdata(request));
  Reply reply(request, op, connection->stats);
  try {
    body(*connection->file_system, reply);
  } catch (...) {
    Log(LogLevel::kError, "exception_in_request",
        {{"op", FuseOpName(op)}, {"hint", "out of memory, or a bug in dkfs: the caller got EIO"}});
    if (!reply.answered()) reply.Done(Status::Error(EIO));
  }
}

void SetNameOperations(fuse_lowlevel_ops* ops);
void SetAttributeOperations(fuse_lowlevel_ops* ops);
void SetContentOperations(fuse_lowlevel_ops* ops);
void SetDirectoryOperations(fuse_lowlevel_ops* ops);

// How the kernel treats an opened file: cache kept, since only this mount changes content, and no FLUSH on close.
inline void SetOpenFlags(fuse_file_info* file) {
  file->keep_cache = 1;
  file->noflush = 1;
}

}  // namespace dkfs
