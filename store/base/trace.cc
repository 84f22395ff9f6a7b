#include "store/base/trace.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <cstdlib>
#include <utility>

#include "store/base/file.h"

namespace dkfs {
namespace {

UniqueFd& TheFile() {
  static UniqueFd* file = new UniqueFd;  // never destroyed: threads may append while the process ends
  return *file;
}

uint64_t MonotonicNs() {
  struct timespec now {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

struct iovec Part(Bytes bytes) {
  return {const_cast<std::byte*>(bytes.data()), bytes.size()};
}

}  // namespace

std::atomic<bool> Trace::on_{false};

Status Trace::Open(const std::string& path) {
  DKFS_TRY_ASSIGN(TheFile(), file::Open(AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND));
  on_.store(true, std::memory_order_relaxed);
  return Status::Ok();
}

Status Trace::OpenFromEnvironment() {
  const char* path = std::getenv("DKFS_TRACE");
  return path == nullptr || *path == '\0' ? Status::Ok() : Open(path).Prefix("DKFS_TRACE");
}

void Trace::Close() {
  on_.store(false, std::memory_order_relaxed);
  TheFile() = UniqueFd();
}

void Trace::AppendSlow(TraceType type, Bytes head, Bytes data) {
  std::string header;
  header.reserve(kTraceHeaderBytes);
  PutLe(&header, kTraceMagic);
  PutLe(&header, static_cast<uint32_t>(type));
  PutLe<uint64_t>(&header, head.size() + data.size());
  PutLe(&header, MonotonicNs());
  PutLe(&header, static_cast<uint32_t>(getpid()));
  PutLe(&header, static_cast<uint32_t>(gettid()));
  const struct iovec parts[] = {Part(AsBytes(header)), Part(head), Part(data)};
  const ssize_t written = ::writev(TheFile().get(), parts, 3);
  DKFS_CHECK(written == static_cast<ssize_t>(header.size() + head.size() + data.size()));
}

void Trace::OpBegun(uint32_t thread, uint64_t op) {
  std::string payload;
  PutLe(&payload, thread);
  PutLe(&payload, op);
  Append(TraceType::kOpBegun, AsBytes(payload));
}

void Trace::OpEnded(uint32_t thread, uint64_t op, int error) {
  std::string payload;
  PutLe(&payload, thread);
  PutLe(&payload, op);
  PutLe(&payload, static_cast<int32_t>(error));
  Append(TraceType::kOpEnded, AsBytes(payload));
}

Result<TraceReader> TraceReader::Open(const std::string& path) {
  DKFS_TRY_ASSIGN(const UniqueFd fd, file::Open(AT_FDCWD, path, O_RDONLY));
  DKFS_TRY_ASSIGN(const struct stat st, file::StatFd(fd.get(), path));
  const size_t size = static_cast<size_t>(st.st_size);
  if (size == 0) return TraceReader(Bytes());
  void* map = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd.get(), 0);
  if (map == MAP_FAILED) return Status::FromErrno("map " + path);
  return TraceReader(Bytes(static_cast<const std::byte*>(map), size));
}

TraceReader::TraceReader(TraceReader&& other) noexcept
    : all_(std::exchange(other.all_, {})), offset_(std::exchange(other.offset_, 0)) {}

TraceReader::~TraceReader() {
  if (!all_.empty()) munmap(const_cast<std::byte*>(all_.data()), all_.size());
}

bool TraceReader::HeaderAt(uint64_t offset, Event* event) const {
  if (offset + kTraceHeaderBytes > all_.size()) return false;
  ByteReader in(all_.subspan(offset, kTraceHeaderBytes));
  if (in.Le<uint32_t>() != kTraceMagic) return false;
  event->offset = offset;
  event->type = static_cast<TraceType>(in.Le<uint32_t>());
  const uint64_t bytes = in.Le<uint64_t>();
  event->monotonic_ns = in.Le<uint64_t>();
  event->pid = in.Le<uint32_t>();
  event->tid = in.Le<uint32_t>();
  const uint64_t begin = offset + kTraceHeaderBytes;
  if (event->type < TraceType::kOpBegun || event->type > TraceType::kText || bytes > all_.size() - begin) return false;
  event->payload = all_.subspan(begin, bytes);
  return true;
}

// A whole event is followed by another, perhaps one cut short within its magic, or by the end; one cut short by a kill
// while others went on is not.
bool TraceReader::WholeAt(uint64_t offset, Event* event) const {
  if (!HeaderAt(offset, event)) return false;
  const std::string_view rest = AsString(all_.subspan(offset + kTraceHeaderBytes + event->payload.size()));
  const std::string_view magic(reinterpret_cast<const char*>(&kTraceMagic), sizeof kTraceMagic);
  for (size_t torn = 0; torn < magic.size(); ++torn) {
    if (!rest.starts_with(magic.substr(0, torn))) break;
    if (rest.size() == torn || rest.substr(torn).starts_with(magic)) return true;
  }
  return false;
}

bool TraceReader::Next(Event* event) {
  for (; offset_ + kTraceHeaderBytes <= all_.size(); ++offset_) {
    if (!WholeAt(offset_, event)) continue;
    offset_ += kTraceHeaderBytes + event->payload.size();
    return true;
  }
  return false;
}

}  // namespace dkfs
