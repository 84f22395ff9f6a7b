// The mount point and the store's place: resolving them, telling whether one lies in the other, mounting, unmounting.
#pragma once

#include <sys/statvfs.h>

#include <string>
#include <vector>

#include "fs/daemon/failure.h"
#include "fs/daemon/mountinfo.h"
#include "store/base/status.h"
#include "store/base/unique_fd.h"

namespace dkfs {

// The absolute path of DIR without symbolic links. Works over the dead mount of a killed daemon too. ENOENT, ENOTDIR.
Result<std::string> ResolveMountPoint(const std::string& dir);
// The absolute path of a store that may not exist yet.
Result<std::string> ResolveStore(const std::string& store);
// Where the store of DIR is by default: /var/lib/dkfs/ and DIR with '/' as '-' and other bytes as \xHH, as systemd
// does.
std::string DefaultStore(const std::string& dir);

// True when the two are the same directory or one lies in the other, by path, through bind mounts, or by (device,
// inode). Neither path may be below a dead mount.
Result<bool> Overlap(const std::string& dir, const std::string& store);

// Removes dead dkfs mounts at `dir`, all of them. A live one is refused ("already mounted"), as is a dead one of
// another type.
Failure ClearMountPoint(const std::string& dir);

// Opens /dev/fuse, which loads the kernel's module.
Failure OpenFuse(UniqueFd* connection);
// Mounts the connection over `dir`; `source` (the store) is what mount tables show.
struct MountRequest {
  std::string dir;
  std::string source;
  unsigned long flags = 0;
};
Failure MountFuse(const MountRequest& request, int connection);
// What may not be done with files in a directory (MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_NOSYMFOLLOW), and so not through a
// mount over it either: from its file system, or of what the dkfs mount at `dir` covers.
unsigned long RestrictionsOf(const struct statvfs& covered);
Result<unsigned long> RestrictionsBelow(const std::string& dir);
// Gives the dkfs mount at `dir` other flags (MS_*, all of them).
Failure ChangeMountFlags(const std::string& dir, unsigned long flags);
// Lets the kernel hold more dirty pages of the mount than the 1 % of its limit that FUSE starts with. Only helps; may
// fail.
void RaiseDirtyLimit(const std::string& dir);
// Take away the dkfs mount of `source` at `dir`, and nothing else that stands there. EBUSY: somebody uses it, or
// something else is mounted over it. EINVAL: it is not mounted any more.
Status Unmount(const std::string& dir, const std::string& source);
// Gone for new users at once, served until the last user closes.
Status Detach(const std::string& dir, const std::string& source);

}  // namespace dkfs
