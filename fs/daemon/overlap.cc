// Whether the store and the mount point lie in each other. Two tests, since neither sees all: the directories above (by
// device and inode number), and the places within their file systems (which bind mounts of subdirectories do not hide).
#include <fcntl.h>
#include <sys/stat.h>

#include "fs/daemon/mount_point.h"
#include "store/base/file.h"

namespace dkfs {
namespace {

struct Identity {
  dev_t device = 0;
  ino_t inode = 0;
  friend bool operator==(const Identity&, const Identity&) = default;
};

// The deepest directory on the way to `path` that exists.
std::string Existing(std::string path) {
  struct stat st;
  while (path != "/" && ::stat(path.c_str(), &st) != 0) {
    size_t slash = path.rfind('/');
    path = slash == 0 ? "/" : path.substr(0, slash);
  }
  return path;
}

Result<Identity> IdentityOf(const std::string& path) {
  DKFS_TRY_ASSIGN(struct stat st, file::Stat(AT_FDCWD, path));
  return Identity{st.st_dev, st.st_ino};
}

// True when the directory `path`, or one above it, is `wanted`.
Result<bool> HasAncestor(const std::string& path, Identity wanted) {
  DKFS_TRY_ASSIGN(UniqueFd dir, file::Open(AT_FDCWD, path, O_PATH | O_DIRECTORY));
  Identity below;
  while (true) {
    DKFS_TRY_ASSIGN(struct stat st, file::StatFd(dir.get(), path));
    Identity here{st.st_dev, st.st_ino};
    if (here == wanted) return true;
    if (here == below) return false;  // ".." of the root is the root
    below = here;
    DKFS_TRY_ASSIGN(dir, file::Open(dir.get(), "..", O_PATH | O_DIRECTORY));
  }
}

struct Place {
  std::string device;
  std::string path;  // within the file system
};

Place PlaceOf(const std::vector<MountEntry>& mounts, const std::string& path) {
  auto mount = MountOf(mounts, path);
  if (!mount) return {"", path};
  std::string rest = mount->mount_point == "/" ? path : path.substr(mount->mount_point.size());
  if (rest == "/") rest.clear();
  std::string place = mount->root == "/" ? rest : mount->root + rest;
  return {mount->device, place.empty() ? "/" : place};
}

}  // namespace

Result<bool> Overlap(const std::string& dir, const std::string& store) {
  if (IsBelow(dir, store) || IsBelow(store, dir)) return true;
  DKFS_TRY_ASSIGN(auto mounts, ReadMountInfo());
  Place dir_place = PlaceOf(mounts, dir), store_place = PlaceOf(mounts, store);
  if (dir_place.device == store_place.device &&
      (IsBelow(dir_place.path, store_place.path) || IsBelow(store_place.path, dir_place.path))) {
    return true;
  }
  DKFS_TRY_ASSIGN(Identity dir_identity, IdentityOf(dir));
  DKFS_TRY_ASSIGN(bool store_inside, HasAncestor(Existing(store), dir_identity));
  if (store_inside || Existing(store) != store) return store_inside;
  DKFS_TRY_ASSIGN(Identity store_identity, IdentityOf(store));
  return HasAncestor(dir, store_identity);
}

}  // namespace dkfs
