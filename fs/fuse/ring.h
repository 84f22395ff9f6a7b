// FUSE over io_uring: requests and answers in memory that the kernel and dkfs share, one queue for each CPU.
//
// A place is one such piece of memory in the queue of one CPU, served by one thread with an io_uring of its own. The
// kernel gives a request to the place of that CPU that was used last; handing over an answer and waiting for the next
// request is one system call. So a request is served on the CPU of its caller, by the thread that is still warm there.
// What libfuse knows stays as it is: a place makes up the bytes that /dev/fuse would have given, and takes the answer.
// FORGET, INTERRUPT and INIT go on coming through /dev/fuse.
#pragma once

#include <liburing.h>

#include <atomic>
#include <memory>
#include <vector>

#include "fs/fuse/page_buffer.h"
#include "fs/fuse/ring_abi.h"
#include "store/base/bytes.h"
#include "store/base/status.h"

namespace dkfs {

// Thread-safety: Create and served() in any thread, everything else in the one that serves it.
class RingPlace {
 public:
  // `connection` is the opened /dev/fuse, borrowed; `payload_bytes` the most that one request or answer carries.
  // Nothing is told to the connection yet. EPERM or ENOSYS where io_uring is forbidden or missing; ENOMEM.
  static Result<std::unique_ptr<RingPlace>> Create(int connection, unsigned cpu, size_t payload_bytes);
  // Places for every CPU that may ever be there, which is what the kernel waits for. As Create; E2BIG for more CPUs
  // than places make sense for. Memory is taken when it is first used: payload_bytes for each request that was under
  // way at the same time.
  static Result<std::vector<std::unique_ptr<RingPlace>>> CreateAll(int connection, size_t payload_bytes);
  RingPlace(const RingPlace&) = delete;
  ~RingPlace();

  // The calling thread keeps to the place's CPU from now on, if that CPU is there and may be used.
  void KeepToCpu();
  // Hands over the answer to the last request, if there was one, and waits for the next. Valid until Answer; two zeros
  // follow it. EINTR: a signal came, ask again. ENOTCONN: the connection has ended. Others: the kernel refuses this
  // place (registered() tells whether it had taken it before).
  Result<MutableBytes> Next();
  // Hands over the last answer and waits for nothing: the place is not used any more.
  void HandOver();
  // Takes the place away from the kernel, which holds the connection for it. REQUIRES: nobody serves it any more.
  void Close();
  bool registered() const { return registered_; }
  // Whether `unique` is the request that Next returned and that has no answer yet.
  bool Owes(uint64_t unique) const { return owes_ && unique == unique_; }
  // The answer as /dev/fuse would get it: header first. EINVAL: longer than the payload.
  Status Answer(const struct iovec* parts, int count);
  // Answers the request with EIO if it has no answer.
  void AnswerIfOwed();
  // Memory for the data of an answer, which is not copied then. The request's data are gone when it is written to.
  MutableBytes payload() { return {memory_ + PageBuffer::kPage, payload_bytes_}; }
  uint64_t served() const { return served_.load(std::memory_order_relaxed); }

 private:
  RingPlace(int connection, unsigned cpu, size_t payload_bytes);
  void Submit(uint32_t command);
  Result<MutableBytes> Arrived();

  const int connection_;
  const unsigned cpu_;
  const size_t payload_bytes_;
  io_uring ring_{};
  bool made_ = false;
  bool told_ = false;        // the kernel was asked to take the place
  bool registered_ = false;  // it did: a request came
  bool owes_ = false;        // a request has no answer yet
  bool answered_ = false;    // the answer waits to be handed over
  uint64_t unique_ = 0;
  uint64_t commit_id_ = 0;
  std::atomic<uint64_t> served_{0};
  struct iovec parts_[2]{};
  PageBuffer buffer_;
  std::byte* memory_ = nullptr;  // a page that ends with the headers, the payload, two zeros
  ring_abi::EntryHeader header_{};
};

}  // namespace dkfs
