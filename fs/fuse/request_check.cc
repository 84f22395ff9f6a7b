#include "fs/fuse/request_check.h"

#include <linux/fuse.h>

namespace dkfs {
namespace {

// The fixed part behind the header, in bytes; strings need at least their NUL.
size_t FixedBytes(uint32_t opcode, bool setxattr_ext) {
  switch (opcode) {
    case FUSE_LOOKUP:
    case FUSE_UNLINK:
    case FUSE_RMDIR:
    case FUSE_REMOVEXATTR:
      return 1;
    case FUSE_FORGET:
      return sizeof(fuse_forget_in);
    case FUSE_GETATTR:
      return sizeof(fuse_getattr_in);
    case FUSE_SETATTR:
      return sizeof(fuse_setattr_in);
    case FUSE_SYMLINK:
      return 2;
    case FUSE_MKNOD:
      return sizeof(fuse_mknod_in) + 1;
    case FUSE_MKDIR:
      return sizeof(fuse_mkdir_in) + 1;
    case FUSE_RENAME:
      return sizeof(fuse_rename_in) + 2;
    case FUSE_RENAME2:
      return sizeof(fuse_rename2_in) + 2;
    case FUSE_LINK:
      return sizeof(fuse_link_in) + 1;
    case FUSE_OPEN:
    case FUSE_OPENDIR:
      return sizeof(fuse_open_in);
    case FUSE_READ:
    case FUSE_READDIR:
    case FUSE_READDIRPLUS:
      return sizeof(fuse_read_in);
    case FUSE_WRITE:
      return sizeof(fuse_write_in);
    case FUSE_RELEASE:
    case FUSE_RELEASEDIR:
      return sizeof(fuse_release_in);
    case FUSE_FSYNC:
    case FUSE_FSYNCDIR:
      return sizeof(fuse_fsync_in);
    case FUSE_SETXATTR:
      return (setxattr_ext ? sizeof(fuse_setxattr_in) : FUSE_COMPAT_SETXATTR_IN_SIZE) + 1;
    case FUSE_GETXATTR:
    case FUSE_LISTXATTR:
      return sizeof(fuse_getxattr_in);
    case FUSE_GETLK:
    case FUSE_SETLK:
    case FUSE_SETLKW:
      return sizeof(fuse_lk_in);
    case FUSE_BMAP:
      return sizeof(fuse_bmap_in);
    case FUSE_IOCTL:
      return sizeof(fuse_ioctl_in);
    case FUSE_POLL:
      return sizeof(fuse_poll_in);
    case FUSE_NOTIFY_REPLY:
      return sizeof(fuse_notify_retrieve_in);
    case FUSE_FLUSH:
      return sizeof(fuse_flush_in);
    case FUSE_INIT:
      return 16;  // sizeof(fuse_init_in) before 7.36
    case FUSE_ACCESS:
      return sizeof(fuse_access_in);
    case FUSE_CREATE:
    case FUSE_TMPFILE:
      return sizeof(fuse_create_in) + 1;
    case FUSE_INTERRUPT:
      return sizeof(fuse_interrupt_in);
    case FUSE_BATCH_FORGET:
      return sizeof(fuse_batch_forget_in);
    case FUSE_FALLOCATE:
      return sizeof(fuse_fallocate_in);
    case FUSE_COPY_FILE_RANGE:
      return sizeof(fuse_copy_file_range_in);
    case FUSE_LSEEK:
      return sizeof(fuse_lseek_in);
    default:
      return 0;
  }
}

// What follows the fixed part by a count that stands in it.
uint64_t CountedBytes(uint32_t opcode, const std::byte* body) {
  switch (opcode) {
    case FUSE_WRITE:
      return LoadLe<uint32_t>(body + offsetof(fuse_write_in, size));
    case FUSE_SETXATTR:
      return LoadLe<uint32_t>(body + offsetof(fuse_setxattr_in, size));
    case FUSE_BATCH_FORGET:
      return uint64_t{LoadLe<uint32_t>(body)} * sizeof(fuse_forget_one);
    default:
      return 0;
  }
}

}  // namespace

bool IsWholeRequest(Bytes request, bool setxattr_ext) {
  if (request.size() < sizeof(fuse_in_header)) return false;
  auto header = LoadLe<fuse_in_header>(request.data());
  if (header.len != request.size()) return false;
  Bytes body = request.subspan(sizeof(fuse_in_header));
  size_t fixed = FixedBytes(header.opcode, setxattr_ext);
  return fixed <= body.size() && CountedBytes(header.opcode, body.data()) <= body.size() - fixed;
}

}  // namespace dkfs
