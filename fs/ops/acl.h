// POSIX ACLs as they stand in the xattrs system.posix_acl_access and system.posix_acl_default (version 2: a 4-byte
// version, then entries of tag, permissions, id). The kernel checks permissions by them; keeping mode bits and ACL in
// step, and inheriting the default ACL, is the file system's part (FUSE_POSIX_ACL). Rules: acl(5) and the kernel's
// fs/posix_acl.c.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

#include "store/base/status.h"

namespace dkfs {

inline constexpr std::string_view kAclAccess = "system.posix_acl_access";
inline constexpr std::string_view kAclDefault = "system.posix_acl_default";

// EINVAL unless well formed and complete (the three base entries, a mask where named entries are).
Status AclCheck(std::string_view acl);
// The mode whose permission bits an access ACL gives; other bits of `mode` stay.
mode_t AclToMode(std::string_view acl, mode_t mode);
// True when the ACL says nothing that the mode bits do not: it need not be stored.
bool AclIsTrivial(std::string_view acl);
// The access ACL after chmod(mode). REQUIRES: AclCheck.
std::string AclAfterChmod(std::string_view acl, mode_t mode);
// Creation in a directory with default ACL `acl` and the requested mode (umask not applied): the access ACL of the new
// inode, and its mode in *mode. REQUIRES: AclCheck.
std::string AclInherit(std::string_view acl, mode_t* mode);

}  // namespace dkfs
