// MountWarmer: reads ahead, through the mount, what hydration has made present, so that the kernel's page cache has it
// when its first reader comes.
//
// Another process does it: a thread of the daemon that waits for an answer of its own mount would keep the connection
// open when the daemon is killed. It ends when the daemon closes the socket or is gone, it holds the mount (a private
// copy of it, so that DIR can be unmounted) for one request at a time, and nobody waits for it: what it is too slow for
// is left out.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>

#include "fs/hydrate/hydrator.h"
#include "store/base/unique_fd.h"

namespace dkfs {

class MountWarmer : public Warmer {
 public:
  // Null: no process to be had. At most an eighth of the machine's memory is filled.
  static std::unique_ptr<Warmer> Start(const std::string& dir);
  ~MountWarmer() override;
  MountWarmer(const MountWarmer&) = delete;
  MountWarmer& operator=(const MountWarmer&) = delete;

  void Warm(const std::string& path, uint64_t offset, uint64_t bytes) override;

  // What the other process runs, told by this first argument; DIR is the second, the socket its standard input.
  static constexpr const char* kArgument = "--warm-mount";
  static int Main(const char* dir);

 private:
  MountWarmer(pid_t process, UniqueFd socket, uint64_t budget_bytes)
      : process_(process), socket_(std::move(socket)), budget_bytes_(budget_bytes) {}

  const pid_t process_;
  UniqueFd socket_;
  uint64_t budget_bytes_;  // left of the memory that it may fill
};

}  // namespace dkfs
