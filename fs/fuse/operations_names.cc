// Names: lookup, forget, and everything that makes, moves or removes an entry.
#include "fs/fuse/operations.h"

namespace dkfs {
namespace {

void ReplyEntry(Reply& reply, const Result<Attr>& attr) {
  if (attr.ok()) {
    reply.Entry(*attr);
  } else {
    reply.Error(attr.status());
  }
}

void ReplyCreated(Reply& reply, const Result<Attr>& attr, fuse_file_info* file) {
  if (!attr.ok()) return reply.Error(attr.status());
  SetOpenFlags(file);
  reply.Created(*attr, *file);
}

void Lookup(fuse_req_t req, fuse_ino_t parent, const char* name) {
  Serve(req, FuseOp::kLookup, [&](FileSystem& fs, Reply& reply) {
    Result<Attr> attr = fs.Lookup(FileOf(parent), name);
    if (!attr.ok() && attr.code() == ENOENT) return reply.NegativeEntry();
    ReplyEntry(reply, attr);
  });
}

void Forget(fuse_req_t req, fuse_ino_t ino, uint64_t count) {
  Serve(req, FuseOp::kForget, [&](FileSystem& fs, Reply& reply) {
    reply.None();
    fs.Forget(FileOf(ino), count);
  });
}

void ForgetMulti(fuse_req_t req, size_t count, fuse_forget_data* forgets) {
  Serve(req, FuseOp::kForget, [&](FileSystem& fs, Reply& reply) {
    for (size_t i = 0; i < count; ++i) fs.Forget(FileOf(forgets[i].ino), forgets[i].nlookup);
    reply.None();  // last: `forgets` lies in the request
  });
}

void MakeNode(fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode, dev_t rdev) {
  Serve(req, FuseOp::kMakeNode, [&](FileSystem& fs, Reply& reply) {
    ReplyEntry(reply, fs.MakeNode(CallerOf(req), FileOf(parent), name, mode, rdev));
  });
}

void MakeDir(fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode) {
  Serve(req, FuseOp::kMakeDir, [&](FileSystem& fs, Reply& reply) {
    ReplyEntry(reply, fs.MakeDir(CallerOf(req), FileOf(parent), name, mode));
  });
}

void Unlink(fuse_req_t req, fuse_ino_t parent, const char* name) {
  Serve(req, FuseOp::kUnlink,
        [&](FileSystem& fs, Reply& reply) { reply.Done(fs.Unlink(CallerOf(req), FileOf(parent), name)); });
}

void RemoveDir(fuse_req_t req, fuse_ino_t parent, const char* name) {
  Serve(req, FuseOp::kRemoveDir,
        [&](FileSystem& fs, Reply& reply) { reply.Done(fs.RemoveDir(CallerOf(req), FileOf(parent), name)); });
}

void Symlink(fuse_req_t req, const char* target, fuse_ino_t parent, const char* name) {
  Serve(req, FuseOp::kSymlink, [&](FileSystem& fs, Reply& reply) {
    ReplyEntry(reply, fs.MakeSymlink(CallerOf(req), FileOf(parent), name, target));
  });
}

void Rename(fuse_req_t req, fuse_ino_t parent, const char* name, fuse_ino_t new_parent, const char* new_name,
            unsigned flags) {
  Serve(req, FuseOp::kRename, [&](FileSystem& fs, Reply& reply) {
    reply.Done(fs.Rename(CallerOf(req), FileOf(parent), name, FileOf(new_parent), new_name, flags));
  });
}

void Link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t new_parent, const char* new_name) {
  Serve(req, FuseOp::kLink, [&](FileSystem& fs, Reply& reply) {
    ReplyEntry(reply, fs.Link(CallerOf(req), FileOf(ino), FileOf(new_parent), new_name));
  });
}

void Create(fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode, fuse_file_info* file) {
  Serve(req, FuseOp::kCreate, [&](FileSystem& fs, Reply& reply) {
    ReplyCreated(reply, fs.Create(CallerOf(req), FileOf(parent), name, mode), file);
  });
}

void Tmpfile(fuse_req_t req, fuse_ino_t parent, mode_t mode, fuse_file_info* file) {
  Serve(req, FuseOp::kTmpfile, [&](FileSystem& fs, Reply& reply) {
    ReplyCreated(reply, fs.CreateTmpfile(CallerOf(req), FileOf(parent), mode), file);
  });
}

}  // namespace

void SetNameOperations(fuse_lowlevel_ops* ops) {
  ops->lookup = Lookup;
  ops->forget = Forget;
  ops->forget_multi = ForgetMulti;
  ops->mknod = MakeNode;
  ops->mkdir = MakeDir;
  ops->unlink = Unlink;
  ops->rmdir = RemoveDir;
  ops->symlink = Symlink;
  ops->rename = Rename;
  ops->link = Link;
  ops->create = Create;
  ops->tmpfile = Tmpfile;
}

}  // namespace dkfs
