#include "fs/daemon/mount_warmer.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <thread>
#include <utility>

#include "store/base/log.h"

namespace dkfs {
namespace {

constexpr uint64_t kShareOfMemory = 8;  // one in so many bytes of all there are
constexpr size_t kMostPath = 4096;

// A message; the path follows.
struct Request {
  uint64_t offset, bytes;
};

// A copy of the mount that no path leads to; invalid when DIR is not mounted, or copies are not allowed.
UniqueFd PrivateCopyOf(const char* dir) {
  UniqueFd copy(::open_tree(AT_FDCWD, dir, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
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

// Starts this binary again with `socket` as its standard input. A pid, or -1 with errno.
pid_t Spawn(const std::string& dir, int socket) {
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
  if (posix_spawn_file_actions_init(&files) != 0) return -1;
  if (posix_spawnattr_init(&attributes) != 0) {
    posix_spawn_file_actions_destroy(&files);
    return -1;
  }
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  posix_spawn_file_actions_adddup2(&files, socket, STDIN_FILENO);
  posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  std::string name = "dkfs-warm", argument = MountWarmer::kArgument, directory = dir;
  std::array<char*, 4> argv = {name.data(), argument.data(), directory.data(), nullptr};
  pid_t pid = -1;
  const int error = ::posix_spawn(&pid, "/proc/self/exe", &files, &attributes, argv.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&files);
  errno = error;
  return error == 0 ? pid : -1;
}

}  // namespace

std::unique_ptr<Warmer> MountWarmer::Start(const std::string& dir) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return nullptr;
  UniqueFd ours(ends[0]), theirs(ends[1]);
  const pid_t process = Spawn(dir, theirs.get());
  if (process < 0) {
    Log(LogLevel::kInfo, "no_warmer",
        {{"error", std::strerror(errno)}, {"hint", "what is restored first waits for its first reader"}});
    return nullptr;
  }
  const uint64_t memory =
      static_cast<uint64_t>(std::max(::sysconf(_SC_PHYS_PAGES), 0L)) * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  return std::unique_ptr<Warmer>(new MountWarmer(process, std::move(ours), memory / kShareOfMemory));
}

// It may wait for an answer of this very daemon, which is about to end: so it is not waited for long, and what is left
// of it is init's to reap then.
MountWarmer::~MountWarmer() {
  socket_.reset();
  for (int i = 0; i < 200; ++i) {
    if (::waitpid(process_, nullptr, WNOHANG) != 0) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  ::kill(process_, SIGKILL);
  ::waitpid(process_, nullptr, WNOHANG);
}

void MountWarmer::Warm(const std::string& path, uint64_t offset, uint64_t bytes) {
  if (path.size() >= kMostPath || bytes > budget_bytes_) return;
  budget_bytes_ -= bytes;
  Request request{offset, bytes};
  std::array<iovec, 2> parts = {iovec{&request, sizeof request}, iovec{const_cast<char*>(path.data()), path.size()}};
  msghdr message{};
  message.msg_iov = parts.data();
  message.msg_iovlen = parts.size();
  (void)::sendmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);  // too slow, or gone: it is only advice
}

int MountWarmer::Main(const char* dir) {
  ::close_range(STDERR_FILENO + 1, ~0u, 0);
  (void)::prctl(PR_SET_NAME, "dkfs-warm");
  // The thread it comes from goes ahead of others.
  (void)::setpriority(PRIO_PROCESS, 0, std::max(0, ::getpriority(PRIO_PROCESS, 0)));
  std::array<char, sizeof(Request) + kMostPath> message;
  for (;;) {
    const ssize_t size = ::recv(STDIN_FILENO, message.data(), message.size() - 1, 0);
    if (size < 0 && errno == EINTR) continue;
    if (size <= static_cast<ssize_t>(sizeof(Request))) return 0;
    message[static_cast<size_t>(size)] = '\0';
    Request request;
    std::memcpy(&request, message.data(), sizeof request);
    const UniqueFd root = PrivateCopyOf(dir);
    if (!root) return 0;
    const UniqueFd file = OpenIn(root.get(), message.data() + sizeof request);
    if (file) {
      (void)::posix_fadvise(file.get(), static_cast<off_t>(request.offset), static_cast<off_t>(request.bytes),
                            POSIX_FADV_WILLNEED);
    }
  }
}

}  // namespace dkfs
