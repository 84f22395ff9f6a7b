#include "fs/daemon/mount_flusher.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <utility>

#include "store/base/log.h"

namespace dkfs {
namespace {

constexpr timeval kPatience{1, 0};
constexpr std::chrono::duration<int, std::milli> kLinger{10};

struct Question {
  uint64_t device, file, offset, length;
};

uint64_t DeviceOf(const std::string& text) {
  unsigned major = 0, minor = 0;
  return std::sscanf(text.c_str(), "%u:%u", &major, &minor) == 2 ? makedev(major, minor) : 0;
}

// By its node id, which needs no name: the kernel's FUSE makes such handles.
UniqueFd OpenFile(int root, uint64_t file) {
  constexpr int kIno64Generation = 0x81;
  constexpr unsigned kWords = 3;  // node id, high half first; generation
  alignas(file_handle) char memory[sizeof(file_handle) + kWords * sizeof(uint32_t)]{};
  auto* handle = reinterpret_cast<file_handle*>(memory);
  handle->handle_type = kIno64Generation;
  handle->handle_bytes = kWords * sizeof(uint32_t);
  const uint32_t words[kWords] = {static_cast<uint32_t>(file >> 32), static_cast<uint32_t>(file), 0};
  std::memcpy(handle->f_handle, words, sizeof words);
  return UniqueFd(::open_by_handle_at(root, handle, O_RDONLY | O_NONBLOCK | O_CLOEXEC));
}

// The root of a copy of the mount; invalid when another is at `dir` now.
UniqueFd OpenRoot(const char* dir, uint64_t device) {
  const UniqueFd copy = MountHelper::CopyMount(dir);
  if (!copy) return {};
  UniqueFd root(::openat(copy.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  struct stat st;
  if (root && (::fstat(root.get(), &st) != 0 || st.st_dev != device)) root.reset();
  return root;
}

// The caller of the SEEK holds the inode's lock in the kernel, which fsync would wait for.
bool WriteOut(int root, const Question& question) {
  const UniqueFd file = OpenFile(root, question.file);
  return file &&
         ::sync_file_range(file.get(), static_cast<off64_t>(question.offset), static_cast<off64_t>(question.length),
                           SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER) == 0;
}

}  // namespace

MountFlusher::MountFlusher(std::string dir, const std::string& device)
    : dir_(std::move(dir)), device_(DeviceOf(device)) {}

bool MountFlusher::HandOver(FileId file, uint64_t offset, uint64_t length) {
  if (!mutex_.try_lock()) return false;
  const bool handed = Ask(file, offset, length);
  mutex_.unlock();
  return handed;
}

bool MountFlusher::Ask(FileId file, uint64_t offset, uint64_t length) {
  if (owed_) TakeAnswer(MSG_DONTWAIT);
  if (owed_) return false;
  if (helper_ == nullptr) {
    helper_ = MountHelper::Start(kArgument, dir_);
    if (helper_ == nullptr) {
      Log(LogLevel::kDebug, "no_flusher", {{"error", std::strerror(errno)}});
      return false;
    }
    ::setsockopt(helper_->socket(), SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof kPatience);
  }
  const Question question{device_, file.value, offset, length};
  owed_ = ::send(helper_->socket(), &question, sizeof question, MSG_DONTWAIT | MSG_NOSIGNAL) == sizeof question;
  if (owed_) return TakeAnswer(0);
  helper_.reset();  // somebody has killed it
  return false;
}

// EINTR: the session wants to end.
bool MountFlusher::TakeAnswer(int flags) {
  char answer = 0;
  const ssize_t size = ::recv(helper_->socket(), &answer, sizeof answer, flags);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  owed_ = false;
  if (size <= 0) helper_.reset();
  return size > 0 && answer != 0;
}

int MountFlusher::Main(const char* dir) {
  MountHelper::Settle("dkfs-flush");
  UniqueFd root;  // kept while one question follows another: it costs more than all the rest
  for (;;) {
    pollfd next{STDIN_FILENO, POLLIN, 0};
    if (root && ::poll(&next, 1, kLinger.count()) == 0) root.reset();
    Question question;
    const ssize_t size = ::recv(STDIN_FILENO, &question, sizeof question, 0);
    if (size < 0 && errno == EINTR) continue;
    if (size != sizeof question) return 0;
    if (!root) root = OpenRoot(dir, question.device);
    const char answer = root && WriteOut(root.get(), question) ? 1 : 0;
    if (::send(STDIN_FILENO, &answer, sizeof answer, MSG_NOSIGNAL) < 0) return 0;
  }
}

}  // namespace dkfs
