#include "fs/daemon/mount_warmer.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "store/base/log.h"

namespace dkfs {
namespace {

constexpr uint64_t kShareOfMemory = 8;  // one in so many bytes of all there are
constexpr size_t kMostPath = 4096;

// A message; the path follows.
struct Request {
  uint64_t offset, bytes;
};

UniqueFd CopyOfFuse(const char* dir) {
  UniqueFd copy = MountHelper::CopyMount(dir);
  struct statfs fs;
  if (copy && (::fstatfs(copy.get(), &fs) != 0 || fs.f_type != FUSE_SUPER_MAGIC)) copy.reset();
  return copy;
}

UniqueFd OpenIn(int root, const char* path) {
  open_how how{};
  how.flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV;
  return UniqueFd(static_cast<int>(::syscall(SYS_openat2, root, path, &how, sizeof how)));
}

}  // namespace

std::unique_ptr<Warmer> MountWarmer::Start(const std::string& dir) {
  auto helper = MountHelper::Start(kArgument, dir);
  if (helper == nullptr) {
    Log(LogLevel::kInfo, "no_warmer",
        {{"error", std::strerror(errno)}, {"hint", "what is restored first waits for its first reader"}});
    return nullptr;
  }
  const uint64_t memory =
      static_cast<uint64_t>(std::max(::sysconf(_SC_PHYS_PAGES), 0L)) * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  return std::unique_ptr<Warmer>(new MountWarmer(std::move(helper), memory / kShareOfMemory));
}

void MountWarmer::Warm(const std::string& path, uint64_t offset, uint64_t bytes) {
  if (path.size() >= kMostPath || bytes > budget_bytes_) return;
  budget_bytes_ -= bytes;
  Request request{offset, bytes};
  std::array<iovec, 2> parts = {iovec{&request, sizeof request}, iovec{const_cast<char*>(path.data()), path.size()}};
  msghdr message{};
  message.msg_iov = parts.data();
  message.msg_iovlen = parts.size();
  (void)::sendmsg(helper_->socket(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);  // too slow, or gone: it is only advice
}

int MountWarmer::Main(const char* dir) {
  MountHelper::Settle("dkfs-warm");
  std::array<char, sizeof(Request) + kMostPath> message;
  for (;;) {
    const ssize_t size = ::recv(STDIN_FILENO, message.data(), message.size() - 1, 0);
    if (size < 0 && errno == EINTR) continue;
    if (size <= static_cast<ssize_t>(sizeof(Request))) return 0;
    message[static_cast<size_t>(size)] = '\0';
    Request request;
    std::memcpy(&request, message.data(), sizeof request);
    const UniqueFd root = CopyOfFuse(dir);
    if (!root) return 0;
    const UniqueFd file = OpenIn(root.get(), message.data() + sizeof request);
    if (file) {
      (void)::posix_fadvise(file.get(), static_cast<off_t>(request.offset), static_cast<off_t>(request.bytes),
                            POSIX_FADV_WILLNEED);
    }
  }
}

}  // namespace dkfs
