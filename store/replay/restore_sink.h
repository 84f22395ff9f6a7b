// RestoreSink: where restore writes to. Knows files, nothing of the store. Each call names one entry of one open
// directory; no call follows a link. The file system's changing calls of restore are all here. Not thread-safe.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "store/base/bytes.h"
#include "store/base/status.h"
#include "store/base/unique_fd.h"
#include "store/format/inode_state.h"

namespace dkfs {

class RestoreSink {
 public:
  using Xattrs = std::vector<std::pair<std::string, std::string>>;
  // Opens the output directory, making it when it is missing. ENOTEMPTY when it holds anything.
  static Result<UniqueFd> OpenRoot(const std::string& path);

  RestoreSink();
  Result<UniqueFd> MakeDir(int parent, const std::string& name) const;
  Result<UniqueFd> MakeFile(int parent, const std::string& name, uint64_t size) const;  // one hole
  Status MakeSymlink(int parent, const std::string& name, const std::string& target) const;
  Status MakeNode(int parent, const std::string& name, uint32_t mode, uint64_t rdev) const;
  // A further name for `path` below `root`.
  Status MakeLink(int root, const std::string& path, int parent, const std::string& name) const;
  // Owner, extended attributes, mode, ACLs, times, in the order in which none undoes another. `fd` -1: the entry is a
  // symlink or a special file. Without root's rights owners and privileged attributes are left out, and the set-id bits
  // of what has another owner or group now. An attribute that cannot be set is an error after all else is done; without
  // an ACL the group gets nothing.
  Status Dress(int fd, int parent, const std::string& name, const InodeState& state, const Xattrs& xattrs) const;

 private:
  Status SetXattrs(const std::string& path, const Xattrs& xattrs, bool acls) const;
  const bool root_;
};

}  // namespace dkfs
