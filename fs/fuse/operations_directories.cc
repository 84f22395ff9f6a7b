// Directories. There are no directory handles: OPENDIR is refused once with ENOSYS (FUSE_NO_OPENDIR_SUPPORT), after
// which the kernel stops asking and caches listings itself; a listing goes on from any cookie.
#include <vector>

#include "fs/fuse/operations.h"
#include "fs/fuse/page_buffer.h"

namespace dkfs {
namespace {

constexpr uint64_t kLastDotCookie = 2;  // "." and ".." are not looked up
constexpr size_t kMaxListingBytes = 64 << 10;

struct Listed {
  EntryId cookie;
  FileId file;
  std::string name;
  uint8_t type;
};

struct stat TypeOf(const Listed& entry) {
  struct stat st {};
  st.st_ino = entry.file.value;
  st.st_mode = static_cast<mode_t>(entry.type) << 12;
  return st;
}

// The entries behind `after` whose records fill at most `size` bytes. Names are copied: FileSystem::LookupEntry must
// not be called from within ReadDir, which holds the tree lock.
Status Collect(FileSystem& fs, fuse_req_t req, fuse_ino_t ino, off_t after, size_t size, bool plus,
               std::vector<Listed>* entries) {
  size_t used = 0;
  return fs.ReadDir(FileOf(ino), static_cast<uint64_t>(after), [&](const DirEntry& entry) {
    Listed listed{entry.cookie, entry.file, std::string(entry.name), entry.type};
    const char* name = listed.name.c_str();
    used += plus ? fuse_add_direntry_plus(req, nullptr, 0, name, nullptr, 0)
                 : fuse_add_direntry(req, nullptr, 0, name, nullptr, 0);
    if (used > size) return false;
    entries->push_back(std::move(listed));
    return true;
  });
}

size_t AddPlain(fuse_req_t req, const Listed& entry, char* at, size_t room) {
  struct stat st = TypeOf(entry);
  return fuse_add_direntry(req, at, room, entry.name.c_str(), &st, static_cast<off_t>(entry.cookie.value));
}

// An entry whose inode cannot be had (removed meanwhile) is listed by name and type alone: node id 0, nothing counted.
size_t AddPlus(FileSystem& fs, fuse_req_t req, fuse_ino_t dir, const Listed& entry, char* at, size_t room) {
  fuse_entry_param param{};
  param.attr = TypeOf(entry);
  if (entry.cookie.value > kLastDotCookie) {
    Result<Attr> attr = fs.LookupEntry(FileOf(dir), entry.name, entry.file);
    if (attr.ok()) {
      param.ino = attr->file.value;
      param.attr = StatOf(*attr);
      param.attr_timeout = kForeverSeconds;
      param.entry_timeout = kForeverSeconds;
    }
  }
  return fuse_add_direntry_plus(req, at, room, entry.name.c_str(), &param, static_cast<off_t>(entry.cookie.value));
}

void List(fuse_req_t req, fuse_ino_t ino, size_t size, off_t after, bool plus) {
  Serve(req, plus ? FuseOp::kReadDirPlus : FuseOp::kReadDir, [&](FileSystem& fs, Reply& reply) {
    thread_local PageBuffer buffer;
    size = std::min(size, kMaxListingBytes);
    std::vector<Listed> entries;
    Status status = Collect(fs, req, ino, after, size, plus, &entries);
    if (!status.ok()) return reply.Error(status);
    char* begin = reinterpret_cast<char*>(buffer.Get(size).data());
    size_t used = 0;
    for (const Listed& entry : entries) {
      used += plus ? AddPlus(fs, req, ino, entry, begin + used, size - used)
                   : AddPlain(req, entry, begin + used, size - used);
    }
    reply.Data({begin, used});
  });
}

void ReadDir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t after, fuse_file_info*) {
  List(req, ino, size, after, false);
}
void ReadDirPlus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t after, fuse_file_info*) {
  List(req, ino, size, after, true);
}

}  // namespace

void SetDirectoryOperations(fuse_lowlevel_ops* ops) {
  ops->readdir = ReadDir;
  ops->readdirplus = ReadDirPlus;
}

}  // namespace dkfs
