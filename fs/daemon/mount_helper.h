// MountHelper: another process that works through the mount for the daemon.
//
// A thread of the daemon that waits for an answer of its own mount would keep the connection open when the daemon is
// killed; who has neither the connection nor the store open may wait. It is told what to do over a socket, ends when
// the daemon closes that or is gone, and holds the mount (a private copy of it, so that DIR can be unmounted) only
// while it has something to do.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <utility>

#include "store/base/unique_fd.h"

namespace dkfs {

class MountHelper {
 public:
  // Runs this binary again with the words `argument` and `dir`; the socket is its standard input. Null with errno: no
  // process to be had.
  static std::unique_ptr<MountHelper> Start(const char* argument, const std::string& dir);
  // It may wait for an answer of this very daemon, which is about to end: so it is not waited for long, and what is
  // left of it is init's to reap then.
  ~MountHelper();
  MountHelper(const MountHelper&) = delete;
  MountHelper& operator=(const MountHelper&) = delete;

  int socket() const { return socket_.get(); }

  // In the other process. Lets go of what was inherited.
  static void Settle(const char* name);
  // A copy of the mount that no path leads to; invalid when copies are not allowed. What is mounted at `dir` may not be
  // dkfs any more.
  static UniqueFd CopyMount(const char* dir);

 private:
  MountHelper(pid_t process, UniqueFd socket) : process_(process), socket_(std::move(socket)) {}

  const pid_t process_;
  UniqueFd socket_;
};

}  // namespace dkfs
