#include "fs/daemon/control_socket.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>

#include "store/base/file.h"

namespace dkfs {
namespace {

// sun_path is short: the directory is named by a descriptor.
Result<sockaddr_un> AddressIn(int dir) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::string path = "/proc/self/fd/" + std::to_string(dir) + "/" + kControlSocketName;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  return address;
}

Result<UniqueFd> NewSocket() {
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) return Status::FromErrno("making the control socket");
  return socket;
}

Status SocketError(const std::string& doing) {
  return errno == EAGAIN ? Status::Error(ETIMEDOUT, "the daemon does not answer") : Status::FromErrno(doing);
}

}  // namespace

Result<UniqueFd> ListenIn(const std::string& dir) {
  DKFS_TRY_ASSIGN(UniqueFd dir_fd, file::Open(AT_FDCWD, dir, O_PATH | O_DIRECTORY));
  DKFS_TRY_ASSIGN(UniqueFd socket, NewSocket());
  DKFS_TRY_ASSIGN(sockaddr_un address, AddressIn(dir_fd.get()));
  Status removed = file::Unlink(dir_fd.get(), kControlSocketName);
  if (!removed.ok() && !removed.IsNotFound()) return removed;
  // The mode of the descriptor becomes the mode of the name: nobody can connect in between.
  if (::fchmod(socket.get(), 0600) != 0 ||
      ::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(socket.get(), 16) != 0) {
    return Status::FromErrno(dir + "/" + kControlSocketName);
  }
  return socket;
}

Status SetPatience(int fd, std::chrono::milliseconds patience) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(patience);
  const timeval limit{seconds.count(), std::chrono::microseconds(patience - seconds).count()};
  if (::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0 ||
      ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) != 0) {
    return Status::FromErrno("limiting the wait for the control socket");
  }
  return Status::Ok();
}

Result<UniqueFd> ConnectIn(const std::string& dir, std::chrono::milliseconds patience) {
  DKFS_TRY_ASSIGN(UniqueFd dir_fd, file::Open(AT_FDCWD, dir, O_PATH | O_DIRECTORY));
  DKFS_TRY_ASSIGN(UniqueFd socket, NewSocket());
  DKFS_TRY_ASSIGN(sockaddr_un address, AddressIn(dir_fd.get()));
  DKFS_TRY(SetPatience(socket.get(), patience));
  if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    return SocketError("no answer from the daemon of the store " + dir);
  }
  return socket;
}

Status WriteLine(int fd, const nlohmann::json& object) {
  // Names and messages may hold any bytes; what is not UTF-8 is shown replaced.
  std::string line = object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  for (size_t sent = 0; sent < line.size();) {
    ssize_t n = ::send(fd, line.data() + sent, line.size() - sent, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return SocketError("writing to the control socket");
    sent += static_cast<size_t>(n);
  }
  return Status::Ok();
}

Result<std::optional<nlohmann::json>> LineReader::Next() {
  while (true) {
    size_t newline = buffer_.find('\n');
    if (newline != std::string::npos) {
      auto object = nlohmann::json::parse(buffer_.substr(0, newline), nullptr, /*allow_exceptions=*/false);
      buffer_.erase(0, newline + 1);
      if (!object.is_object()) return Status::Error(EPROTO, "a line on the control socket is not a JSON object");
      return std::optional(std::move(object));
    }
    if (buffer_.size() > kMaxControlLine) return Status::Error(EPROTO, "a line on the control socket is too long");
    char part[4096];
    ssize_t n = ::recv(fd_, part, sizeof part, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return SocketError("reading from the control socket");
    if (n == 0) return std::optional<nlohmann::json>();
    buffer_.append(part, static_cast<size_t>(n));
  }
}

}  // namespace dkfs
