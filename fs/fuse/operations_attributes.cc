// Attributes: stat, setattr, symlink targets, extended attributes, statfs.
#include "fs/fuse/operations.h"

namespace dkfs {
namespace {

TimeSpec TimeOf(const timespec& t) { return {t.tv_sec, static_cast<uint32_t>(t.tv_nsec)}; }

SetAttrRequest DecodeSetAttr(const struct stat& st, int to_set) {
  SetAttrRequest request;
  if (to_set & FUSE_SET_ATTR_MODE) request.mode = st.st_mode;
  if (to_set & FUSE_SET_ATTR_UID) request.uid = st.st_uid;
  if (to_set & FUSE_SET_ATTR_GID) request.gid = st.st_gid;
  if (to_set & FUSE_SET_ATTR_SIZE) request.size = static_cast<uint64_t>(st.st_size);
  if (to_set & FUSE_SET_ATTR_ATIME) request.atime = TimeOf(st.st_atim);
  if (to_set & FUSE_SET_ATTR_MTIME) request.mtime = TimeOf(st.st_mtim);
  if (to_set & FUSE_SET_ATTR_CTIME) request.ctime = TimeOf(st.st_ctim);
  request.atime_now = (to_set & FUSE_SET_ATTR_ATIME_NOW) != 0;
  request.mtime_now = (to_set & FUSE_SET_ATTR_MTIME_NOW) != 0;
  request.kill_suidgid = (to_set & FATTR_KILL_SUIDGID) != 0;  // libfuse calls this bit FUSE_SET_ATTR_KILL_SUID
  return request;
}

// The xattr protocol: size 0 asks for the length; a buffer that is too small is ERANGE.
void ReplyXattr(Reply& reply, std::string_view value, size_t size) {
  if (size == 0) return reply.XattrSize(value.size());
  if (value.size() > size) return reply.Error(Status::Error(ERANGE));
  reply.Data(value);
}

void GetAttr(fuse_req_t req, fuse_ino_t ino, fuse_file_info*) {
  Serve(req, FuseOp::kGetAttr, [&](FileSystem& fs, Reply& reply) {
    Result<Attr> attr = fs.GetAttr(FileOf(ino));
    attr.ok() ? reply.Attributes(*attr) : reply.Error(attr.status());
  });
}

void SetAttr(fuse_req_t req, fuse_ino_t ino, struct stat* st, int to_set, fuse_file_info*) {
  Serve(req, FuseOp::kSetAttr, [&](FileSystem& fs, Reply& reply) {
    Result<Attr> attr = fs.SetAttr(CallerOf(req), FileOf(ino), DecodeSetAttr(*st, to_set));
    attr.ok() ? reply.Attributes(*attr) : reply.Error(attr.status());
  });
}

void ReadLink(fuse_req_t req, fuse_ino_t ino) {
  Serve(req, FuseOp::kReadLink, [&](FileSystem& fs, Reply& reply) {
    Result<std::string> target = fs.ReadLink(FileOf(ino));
    target.ok() ? reply.Link(*target) : reply.Error(target.status());
  });
}

void GetXattr(fuse_req_t req, fuse_ino_t ino, const char* name, size_t size) {
  Serve(req, FuseOp::kGetXattr, [&](FileSystem& fs, Reply& reply) {
    Result<std::string> value = fs.GetXattr(FileOf(ino), name);
    value.ok() ? ReplyXattr(reply, *value, size) : reply.Error(value.status());
  });
}

void ListXattr(fuse_req_t req, fuse_ino_t ino, size_t size) {
  Serve(req, FuseOp::kListXattr, [&](FileSystem& fs, Reply& reply) {
    Result<std::vector<std::string>> names = fs.ListXattrs(CallerOf(req), FileOf(ino));
    if (!names.ok()) return reply.Error(names.status());
    std::string list;
    for (const std::string& name : *names) list.append(name).push_back('\0');
    ReplyXattr(reply, list, size);
  });
}

void SetXattr(fuse_req_t req, fuse_ino_t ino, const char* name, const char* value, size_t size, int flags) {
  const auto* raw = static_cast<const fuse_setxattr_in*>(CurrentRequest().body);
  const bool extended = static_cast<Connection*>(fuse_req_userdata(req))->setxattr_ext;
  const bool kill_sgid = extended && (raw->setxattr_flags & FUSE_SETXATTR_ACL_KILL_SGID) != 0;
  Serve(req, FuseOp::kSetXattr, [&](FileSystem& fs, Reply& reply) {
    reply.Done(fs.SetXattr(CallerOf(req), FileOf(ino), name, std::string_view(value, size), flags, kill_sgid));
  });
}

void RemoveXattr(fuse_req_t req, fuse_ino_t ino, const char* name) {
  Serve(req, FuseOp::kRemoveXattr,
        [&](FileSystem& fs, Reply& reply) { reply.Done(fs.RemoveXattr(CallerOf(req), FileOf(ino), name)); });
}

void StatFs(fuse_req_t req, fuse_ino_t) {
  Serve(req, FuseOp::kStatFs, [&](FileSystem& fs, Reply& reply) {
    Result<struct statvfs> st = fs.StatFs();
    st.ok() ? reply.FileSystemStat(*st) : reply.Error(st.status());
  });
}

}  // namespace

void SetAttributeOperations(fuse_lowlevel_ops* ops) {
  ops->getattr = GetAttr;
  ops->setattr = SetAttr;
  ops->readlink = ReadLink;
  ops->getxattr = GetXattr;
  ops->listxattr = ListXattr;
  ops->setxattr = SetXattr;
  ops->removexattr = RemoveXattr;
  ops->statfs = StatFs;
}

}  // namespace dkfs
