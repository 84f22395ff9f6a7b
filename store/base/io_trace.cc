#include "store/base/io_trace.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <memory>
#include <optional>
#include <vector>

#include "store/base/file.h"
#include "store/base/mutex.h"

namespace dkfs {
namespace {

constexpr size_t kHeadBytes = 32;
constexpr size_t kDescribedAtOnce = 64 << 10;

struct State {
  Mutex mutex;
  std::string root GUARDED_BY(mutex);
  std::atomic<uint64_t> syncs{0};
};

State& TheState() {
  static State* state = new State;  // never destroyed: threads may write while the process ends
  return *state;
}

void Emit(const IoEvent& event) {
  std::string head;
  event.AppendHead(&head);
  Trace::Append(TraceType::kStoreIo, AsBytes(head), event.data);
}

std::string PathOfFd(int fd) {
  char target[PATH_MAX];
  const ssize_t n = ::readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), target, sizeof target);
  return n < 0 ? std::string() : std::string(target, static_cast<size_t>(n));
}

using CPath = std::unique_ptr<char, void (*)(void*)>;

// `path`, whose last part need not exist any more, without links, "." and "..".
std::string Absolute(int dirfd, const std::string& path) {
  const bool below = dirfd != AT_FDCWD && !path.starts_with('/');
  const std::string given = below ? PathOfFd(dirfd) + "/" + path : path;
  const size_t slash = given.rfind('/');
  const std::string parent = slash == std::string::npos ? "." : given.substr(0, slash + 1);
  const CPath real(::realpath(parent.c_str(), nullptr), ::free);
  return real ? std::string(real.get()) + "/" + given.substr(slash + 1) : given;
}

std::string Absolute(const std::string& path) { return Absolute(AT_FDCWD, path); }

// The path relative to the root; none when it is not below it.
std::optional<std::string> Inside(const State& state, const std::string& absolute) REQUIRES(state.mutex) {
  const std::string& root = state.root;
  if (absolute == root) return std::string();
  if (absolute.size() <= root.size() || !absolute.starts_with(root) || absolute[root.size()] != '/')
    return std::nullopt;
  return absolute.substr(root.size() + 1);
}

uint64_t InoOf(int fd) {
  struct stat st {};
  return ::fstat(fd, &st) == 0 ? st.st_ino : 0;
}

uint64_t InoOf(const std::string& path) {
  struct stat st {};
  return ::stat(path.c_str(), &st) == 0 ? st.st_ino : 0;
}

// The inode of a file of the store; 0 for another.
uint64_t OursByFd(const State& state, int fd) REQUIRES(state.mutex) {
  return Inside(state, PathOfFd(fd)) ? InoOf(fd) : 0;
}
uint64_t OursByPath(const State& state, const std::string& path) REQUIRES(state.mutex) {
  return Inside(state, Absolute(path)) ? InoOf(path) : 0;
}

void EmitWrite(uint64_t ino, uint64_t offset, Bytes data) {
  if (ino == 0) return;
  const bool zero = IsAllZero(data);
  Emit({.op = IoOp::kWrite, .ino = ino, .offset = offset, .length = data.size(), .data = zero ? Bytes() : data});
}

Status DescribeFile(int fd, const std::string& path) {
  DKFS_TRY_ASSIGN(const struct stat st, file::StatFd(fd, path));
  Emit({.op = IoOp::kHasFile, .ino = st.st_ino, .length = static_cast<uint64_t>(st.st_size), .path = path});
  std::vector<std::byte> buffer(kDescribedAtOnce);
  for (uint64_t at = 0;;) {
    DKFS_TRY_ASSIGN(const size_t got, file::ReadAt(fd, buffer, at, path));
    if (got == 0) return Status::Ok();
    const Bytes data(buffer.data(), got);
    if (!IsAllZero(data)) EmitWrite(st.st_ino, at, data);
    at += got;
  }
}

Status Describe(int dirfd, const std::string& path) {
  DKFS_TRY_ASSIGN(std::vector<std::string> names, file::ListDir(dirfd, "."));
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    const std::string below = path.empty() ? name : path + "/" + name;
    DKFS_TRY_ASSIGN(const struct stat st, file::Stat(dirfd, name, AT_SYMLINK_NOFOLLOW));
    if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode)) continue;
    DKFS_TRY_ASSIGN(const UniqueFd fd, file::Open(dirfd, name, O_RDONLY | O_NOFOLLOW));
    if (S_ISREG(st.st_mode)) {
      DKFS_TRY(DescribeFile(fd.get(), below));
      continue;
    }
    Emit({.op = IoOp::kHasDir, .path = below});
    DKFS_TRY(Describe(fd.get(), below));
  }
  return Status::Ok();
}

}  // namespace

void IoEvent::AppendHead(std::string* out) const {
  out->reserve(out->size() + kHeadBytes + path.size() + to.size());
  PutLe(out, static_cast<uint8_t>(op));
  PutLe<uint8_t>(out, 0);
  PutLe(out, static_cast<uint16_t>(path.size()));
  PutLe(out, static_cast<uint16_t>(to.size()));
  PutLe<uint16_t>(out, 0);
  PutLe(out, ino);
  PutLe(out, offset);
  PutLe(out, length);
  *out += path;
  *out += to;
}

Status IoEvent::Decode(Bytes payload, IoEvent* event) {
  ByteReader in(payload);
  event->op = static_cast<IoOp>(in.Le<uint8_t>());
  in.Take(1);
  const auto path_bytes = in.Le<uint16_t>();
  const auto to_bytes = in.Le<uint16_t>();
  in.Take(2);
  event->ino = in.Le<uint64_t>();
  event->offset = in.Le<uint64_t>();
  event->length = in.Le<uint64_t>();
  event->path = AsString(in.Take(path_bytes));
  event->to = AsString(in.Take(to_bytes));
  event->data = in.Take(in.remaining());
  const bool known = event->op >= IoOp::kBegin && event->op <= IoOp::kSyncEnded;
  return in.ok() && known ? Status::Ok() : Status::Corruption("i/o event of a trace");
}

std::atomic<bool> IoTrace::on_{false};

Status IoTrace::Begin(const std::string& root) {
  if (!Trace::on()) return Status::Ok();
  const CPath real(::realpath(root.c_str(), nullptr), ::free);
  if (!real) return Status::FromErrno(root);
  State& state = TheState();
  MutexLock lock(state.mutex);
  if (on_ && state.root == real.get()) return Status::Ok();
  state.root = real.get();
  DKFS_TRY_ASSIGN(const UniqueFd dir, file::Open(AT_FDCWD, state.root, O_RDONLY | O_DIRECTORY));
  Emit({.op = IoOp::kBegin, .path = state.root});
  DKFS_TRY(Describe(dir.get(), ""));
  Emit({.op = IoOp::kBegun});
  on_.store(true, std::memory_order_relaxed);
  return Status::Ok();
}

void IoTrace::Close() {
  State& state = TheState();
  MutexLock lock(state.mutex);
  on_.store(false, std::memory_order_relaxed);
}

// The lock's life is the Scope's, which the analysis cannot follow through a condition.
IoTrace::Scope::Scope() NO_THREAD_SAFETY_ANALYSIS : on_(IoTrace::on()) {
  if (on_) TheState().mutex.lock();
}

IoTrace::Scope::~Scope() NO_THREAD_SAFETY_ANALYSIS {
  if (on_) TheState().mutex.unlock();
}

void IoTrace::Scope::Created(int fd) const NO_THREAD_SAFETY_ANALYSIS {
  if (!on_) return;
  if (const auto path = Inside(TheState(), PathOfFd(fd))) Emit({.op = IoOp::kCreate, .ino = InoOf(fd), .path = *path});
}

void IoTrace::Scope::Created(const std::string& path) const NO_THREAD_SAFETY_ANALYSIS {
  if (!on_) return;
  if (const auto inside = Inside(TheState(), Absolute(path)))
    Emit({.op = IoOp::kCreate, .ino = InoOf(path), .path = *inside});
}

void IoTrace::Scope::Wrote(int fd, const struct iovec* parts, int count, uint64_t offset,
                           size_t bytes) const NO_THREAD_SAFETY_ANALYSIS {
  if (!on_) return;
  const uint64_t ino = OursByFd(TheState(), fd);
  if (ino == 0) return;
  std::string data;
  data.reserve(bytes);
  for (int i = 0; i < count && data.size() < bytes; ++i) {
    data.append(static_cast<const char*>(parts[i].iov_base), std::min(parts[i].iov_len, bytes - data.size()));
  }
  EmitWrite(ino, offset, AsBytes(data));
}

void IoTrace::Scope::Wrote(const std::string& path, Bytes data, uint64_t offset) const NO_THREAD_SAFETY_ANALYSIS {
  if (on_) EmitWrite(OursByPath(TheState(), path), offset, data);
}

void IoTrace::Scope::Truncated(int fd, uint64_t size) const NO_THREAD_SAFETY_ANALYSIS {
  const uint64_t ino = on_ ? OursByFd(TheState(), fd) : 0;
  if (ino != 0) Emit({.op = IoOp::kTruncate, .ino = ino, .length = size});
}

void IoTrace::Scope::Truncated(const std::string& path, uint64_t size) const NO_THREAD_SAFETY_ANALYSIS {
  const uint64_t ino = on_ ? OursByPath(TheState(), path) : 0;
  if (ino != 0) Emit({.op = IoOp::kTruncate, .ino = ino, .length = size});
}

void IoTrace::Scope::Allocated(int fd, uint64_t size) const NO_THREAD_SAFETY_ANALYSIS {
  const uint64_t ino = on_ ? OursByFd(TheState(), fd) : 0;
  if (ino != 0) Emit({.op = IoOp::kAllocate, .ino = ino, .length = size});
}

void IoTrace::Scope::Renamed(int dirfd, const std::string& from,
                             const std::string& to) const NO_THREAD_SAFETY_ANALYSIS {
  if (!on_) return;
  const auto source = Inside(TheState(), Absolute(dirfd, from)), target = Inside(TheState(), Absolute(dirfd, to));
  if (source && target) Emit({.op = IoOp::kRename, .path = *source, .to = *target});
  if (source && !target) Emit({.op = IoOp::kUnlink, .path = *source});
}

void IoTrace::Scope::Linked(const std::string& from, const std::string& to) const NO_THREAD_SAFETY_ANALYSIS {
  if (!on_) return;
  const auto source = Inside(TheState(), Absolute(from)), target = Inside(TheState(), Absolute(to));
  if (source && target) Emit({.op = IoOp::kLink, .path = *source, .to = *target});
}

void IoTrace::Scope::Named(IoOp op, int dirfd, const std::string& path) const NO_THREAD_SAFETY_ANALYSIS {
  if (!on_) return;
  if (const auto inside = Inside(TheState(), Absolute(dirfd, path))) Emit({.op = op, .path = *inside});
}

IoTrace::Sync::Sync(What what, int fd) {
  if (!on()) return;
  State& state = TheState();
  MutexLock lock(state.mutex);
  const auto path = Inside(state, PathOfFd(fd));
  if (!path) return;
  number_ = ++state.syncs;
  if (what == What::kFile) Emit({.op = IoOp::kSyncBegun, .ino = InoOf(fd), .offset = number_});
  if (what == What::kDir) Emit({.op = IoOp::kSyncDirBegun, .offset = number_, .path = *path});
  if (what == What::kAll) Emit({.op = IoOp::kSyncAllBegun, .offset = number_});
}

IoTrace::Sync::Sync(What what, const std::string& path) {
  if (!on()) return;
  State& state = TheState();
  MutexLock lock(state.mutex);
  const auto inside = Inside(state, Absolute(path));
  if (!inside) return;
  number_ = ++state.syncs;
  if (what == What::kFile) Emit({.op = IoOp::kSyncBegun, .ino = InoOf(path), .offset = number_});
  if (what == What::kDir) Emit({.op = IoOp::kSyncDirBegun, .offset = number_, .path = *inside});
}

void IoTrace::Sync::Ended() const {
  if (number_ == 0) return;
  State& state = TheState();
  MutexLock lock(state.mutex);
  Emit({.op = IoOp::kSyncEnded, .offset = number_});
}

}  // namespace dkfs
