#include "fs/fuse/ring.h"

#include <linux/fuse.h>
#include <sched.h>
#include <sys/sysinfo.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <numeric>
#include <string>

#include "store/base/log.h"

namespace dkfs {
namespace {

constexpr unsigned kEntries = 2;  // one command under way at a time
constexpr size_t kNulBytes = 2;
// Requests of a CPU beyond its places wait in the kernel; an fsync occupies one while the disk works.
constexpr unsigned kPlacesWanted = 32, kLeastPerCpu = 4, kMostPerCpu = 16, kMostPlaces = 256;

// A CPU that can be taken away says in a file of its own whether it is there.
bool IsOnline(unsigned cpu) {
  const std::string folder = "/sys/devices/system/cpu/cpu" + std::to_string(cpu);
  std::ifstream file(folder + "/online");
  int online = 0;
  return file >> online ? online != 0 : ::access(folder.c_str(), F_OK) == 0;
}

}  // namespace

RingPlace::RingPlace(int connection, unsigned cpu, size_t payload_bytes)
    : connection_(connection), cpu_(cpu), payload_bytes_(payload_bytes) {}

RingPlace::~RingPlace() { Close(); }

void RingPlace::Close() {
  if (made_) io_uring_queue_exit(&ring_);
  made_ = false;
}

Result<std::unique_ptr<RingPlace>> RingPlace::Create(int connection, unsigned cpu, size_t payload_bytes) {
  auto place = std::unique_ptr<RingPlace>(new RingPlace(connection, cpu, payload_bytes));
  place->memory_ = place->buffer_.Get(PageBuffer::kPage + payload_bytes + kNulBytes).data();
  int result = io_uring_queue_init(kEntries, &place->ring_, IORING_SETUP_SQE128);
  if (result < 0) return Status::Error(-result, "io_uring_setup");
  place->made_ = true;
  return place;
}

Result<std::vector<std::unique_ptr<RingPlace>>> RingPlace::CreateAll(int connection, size_t payload_bytes) {
  const auto possible = static_cast<unsigned>(std::max(::get_nprocs_conf(), 1));
  std::vector<unsigned> wanted(possible, 1);  // a CPU that comes later has to do with one
  const auto online = static_cast<unsigned>(std::max(::get_nprocs(), 1));
  for (unsigned cpu = 0; cpu < possible; ++cpu) {
    if (IsOnline(cpu)) wanted[cpu] = std::clamp(kPlacesWanted / online, kLeastPerCpu, kMostPerCpu);
  }
  if (std::accumulate(wanted.begin(), wanted.end(), 0U) > kMostPlaces) {
    return Status::Error(E2BIG, "too many CPUs for it: " + std::to_string(possible));
  }
  std::vector<std::unique_ptr<RingPlace>> places;
  for (unsigned cpu = 0; cpu < possible; ++cpu) {
    for (unsigned i = 0; i < wanted[cpu]; ++i) {
      auto place = Create(connection, cpu, payload_bytes);
      if (!place.ok()) return place.status();
      places.push_back(std::move(place).value());
    }
  }
  return places;
}

void RingPlace::KeepToCpu() {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu_, &set);
  if (::sched_setaffinity(0, sizeof set, &set) != 0) Log(LogLevel::kDebug, "ring_place_unbound", {{"cpu", cpu_}});
}

void RingPlace::Submit(uint32_t command) {
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  DKFS_CHECK(sqe != nullptr);
  std::memset(static_cast<void*>(sqe), 0, 2 * sizeof *sqe);  // IORING_SETUP_SQE128: twice its size
  sqe->opcode = IORING_OP_URING_CMD;
  sqe->fd = connection_;
  sqe->cmd_op = command;
  if (command == ring_abi::kRegister) {
    parts_[0] = {&header_, sizeof header_};
    parts_[1] = {memory_ + PageBuffer::kPage, payload_bytes_};
    sqe->addr = reinterpret_cast<uintptr_t>(parts_);
    sqe->len = 2;
  }
  ring_abi::Command told{};
  told.commit_id = commit_id_;
  told.queue = static_cast<uint16_t>(cpu_);
  std::memcpy(static_cast<void*>(sqe->cmd), &told, sizeof told);
}

Result<MutableBytes> RingPlace::Next() {
  if (answered_) {
    Submit(ring_abi::kCommitAndFetch);
    answered_ = false;
  } else if (!told_) {
    Submit(ring_abi::kRegister);
    told_ = true;
  }
  int result = io_uring_submit_and_wait(&ring_, 1);
  if (result == -EAGAIN || result == -EBUSY)
    return Status::Error(EINTR);  // short of memory for a moment; not submitted
  if (result < 0) return Status::Error(-result, "waiting for a request");
  io_uring_cqe* cqe = nullptr;
  if (io_uring_peek_cqe(&ring_, &cqe) != 0) return Status::Error(EINTR);
  result = cqe->res;
  io_uring_cqe_seen(&ring_, cqe);
  if (result < 0) return Status::Error(-result, "a request through io_uring");
  return Arrived();
}

void RingPlace::HandOver() {
  if (!answered_) return;
  Submit(ring_abi::kCommitAndFetch);
  answered_ = false;
  if (int result = io_uring_submit(&ring_); result < 0) {
    Log(LogLevel::kDebug, "ring_answer_lost", {{"error", Status::Error(-result).ToString()}});
  }
}

// Makes up what /dev/fuse would have given: headers end where the payload begins.
Result<MutableBytes> RingPlace::Arrived() {
  registered_ = true;
  auto in = LoadLe<fuse_in_header>(reinterpret_cast<const std::byte*>(header_.in_out));
  const size_t payload = header_.ring.payload_bytes;
  commit_id_ = header_.ring.commit_id;
  unique_ = in.unique;
  owes_ = true;
  served_.store(served() + 1, std::memory_order_relaxed);
  const size_t operation = in.len - sizeof in - payload;
  if (in.len < sizeof in + payload || operation > sizeof header_.operation || payload > payload_bytes_) {
    return Status::Error(EPROTO, "a request through io_uring");
  }
  std::byte* data = memory_ + PageBuffer::kPage;
  std::byte* begin = data - operation - sizeof in;
  std::memcpy(begin, &in, sizeof in);
  std::memcpy(begin + sizeof in, header_.operation, operation);
  data[payload] = data[payload + 1] = std::byte{0};
  return MutableBytes(begin, in.len);
}

Status RingPlace::Answer(const struct iovec* parts, int count) {
  std::byte* at = memory_ + PageBuffer::kPage;
  size_t bytes = 0;
  for (int i = 1; i < count; ++i) bytes += parts[i].iov_len;
  if (bytes > payload_bytes_) return Status::Error(EINVAL);
  for (int i = 1; i < count; ++i) {
    if (parts[i].iov_base != at) std::memmove(at, parts[i].iov_base, parts[i].iov_len);
    at += parts[i].iov_len;
  }
  std::memcpy(header_.in_out, parts[0].iov_base, sizeof(fuse_out_header));
  header_.ring.payload_bytes = static_cast<uint32_t>(bytes);
  owes_ = false;
  answered_ = true;
  return Status::Ok();
}

void RingPlace::AnswerIfOwed() {
  if (!owes_) return;
  Log(LogLevel::kError, "request_unanswered", {{"hint", "a bug in dkfs; the caller gets EIO"}});
  fuse_out_header out{sizeof(fuse_out_header), -EIO, unique_};
  struct iovec part {
    &out, sizeof out
  };
  Answer(&part, 1).Ignore("a header alone always fits");
}

}  // namespace dkfs
