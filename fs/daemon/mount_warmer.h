// MountWarmer: reads ahead, through the mount, what hydration has made present, so that the kernel's page cache has it
// when its first reader comes.
//
// A helper process does it, and nobody waits for it: what it is too slow for is left out.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "fs/daemon/mount_helper.h"
#include "fs/hydrate/hydrator.h"

namespace dkfs {

class MountWarmer : public Warmer {
 public:
  // Null: no process to be had. At most an eighth of the machine's memory is filled.
  static std::unique_ptr<Warmer> Start(const std::string& dir);

  void Warm(const std::string& path, uint64_t offset, uint64_t bytes) override;

  // What the helper runs, told by this argument.
  static constexpr const char* kArgument = "--warm-mount";
  static int Main(const char* dir);

 private:
  MountWarmer(std::unique_ptr<MountHelper> helper, uint64_t budget_bytes)
      : helper_(std::move(helper)), budget_bytes_(budget_bytes) {}

  const std::unique_ptr<MountHelper> helper_;
  uint64_t budget_bytes_;  // left of the memory that it may fill
};

}  // namespace dkfs
