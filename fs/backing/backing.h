// The backing directory: the real thing underneath the mount, reached only through the descriptor taken before
// mounting.
//
// Paths are relative to the root ("" is the root itself), as made by Store::PathOf or from name hints. No call follows
// a symbolic link or leaves the directory (openat2 RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS), nor
// enters a file system mounted below it (RESOLVE_NO_XDEV: EXDEV). Paths longer than PATH_MAX are walked in pieces.
// `.dkfs-partial` below the root is ours: it holds the files with absent blocks, by FileId. No name of a user reaches
// it. Thread-safe.
#pragma once

#include <sys/stat.h>
#include <sys/statvfs.h>

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "store/base/bytes.h"
#include "store/base/status.h"
#include "store/base/unique_fd.h"
#include "store/format/ids.h"
#include "store/format/inode_state.h"
#include "store/format/keys.h"

namespace dkfs {

inline constexpr std::string_view kPartialDir = ".dkfs-partial";

class Backing {
 public:
  // Takes the descriptor of DIR (opened O_DIRECTORY before the mount covers it). `display` names it in messages.
  Backing(UniqueFd root, std::string display);

  int root() const { return root_.get(); }
  const std::string& display() const { return display_; }

  // --- names ---
  // Open does not raise the access time where the kernel allows that (O_NOATIME). A path of "" is the root.
  Result<UniqueFd> Open(const std::string& path, int flags, mode_t mode = 0);  // O_NOFOLLOW and O_CLOEXEC are added
  Result<struct stat> Stat(const std::string& path);                           // of the entry itself
  // When the file was made; nothing where the file system does not know.
  Result<std::optional<TimeSpec>> BirthTime(const std::string& path);
  std::optional<TimeSpec> BirthTimeOf(int fd);
  bool knows_birth_times() const { return knows_birth_times_; }
  // It is immutable or may only be appended to (chattr +i, +a): then nobody may rename it, and no name in it.
  Result<bool> IsFixed(const std::string& path);
  Status MakeDir(const std::string& path, mode_t mode);
  Status MakeNode(const std::string& path, mode_t mode, dev_t rdev);
  Status MakeSymlink(const std::string& target, const std::string& path);
  Status Link(const std::string& from, const std::string& to);
  Status LinkFd(int fd, const std::string& to);  // O_TMPFILE
  Status Unlink(const std::string& path);
  Status RemoveDir(const std::string& path);
  Status Rename(const std::string& from, const std::string& to, unsigned flags);  // renameat2 flags
  Result<std::vector<std::string>> List(const std::string& path);  // without . and .., without ours at the root
  struct Entry {
    std::string name;
    uint8_t type = 0;  // DT_*; never DT_UNKNOWN
  };
  Result<std::vector<Entry>> ListEntries(const std::string& path);  // as List
  Result<std::string> ReadLink(const std::string& path);
  Result<UniqueFd> OpenTmpfile(const std::string& dir);
  // Moves the entry out of the directory, to `name` in the open directory `dir`, which must be free (EEXIST). EXDEV
  // when that is on another file system.
  Status MoveOut(const std::string& path, int dir, const std::string& name);

  // --- partial files ---
  static std::string PartialPath(FileId file);  // ".dkfs-partial/00000000002a"
  // EPERM, ENOTDIR: somebody else made something of its name, and would have what lies in it.
  Status EnsurePartialDir();
  Status CheckPartialDir();  // as that, but makes none
  Status RemovePartialDirIfEmpty();

  // --- attributes: make the backing entry carry what the store recorded (owner, mode, times, xattrs) ---
  Status ApplyOwnerAndMode(const std::string& path, const InodeState& state);
  // The same through an open descriptor, which may be O_PATH; `path` is for errors.
  Status ApplyOwnerAndModeFd(int fd, const std::string& path, const InodeState& state);
  Status ApplyTimes(const std::string& path, const InodeState& state);
  Status ApplyTimesFd(int fd, const InodeState& state);
  Status SetXattr(const std::string& path, std::string_view name, std::string_view value);
  Status SetXattrFd(int fd, std::string_view name, std::string_view value);  // O_TMPFILE
  Status RemoveXattr(const std::string& path, std::string_view name);
  Status RemoveXattrFd(int fd, std::string_view name);                                           // O_TMPFILE
  Result<std::vector<std::pair<std::string, std::string>>> ListXattrs(const std::string& path);  // user-visible ones

  // --- whole ---
  Result<struct statvfs> StatFs();
  Status SyncAll();  // syncfs
  static Fingerprint FingerprintOf(const struct stat& st);
  static InodeState StateOf(const struct stat& st);  // attributes for adoption; btime is left to the caller

  // Identity: which store this directory belongs to, as an xattr of its root ("trusted.dkfs.store", else
  // "user.dkfs.store"), and with ":SEQ" behind it what it was complete with when it was last left clean.
  std::optional<std::string> ReadIdentity();  // as written; nullopt when there is none
  Status WriteIdentity(const std::string& identity);
  std::string OwnIdentity(const std::string& store_uuid);  // "UUID:inode number" of this directory's root

 private:
  struct Place {  // an entry: the directory that holds it, open, and its name there ("." for the root)
    UniqueFd owned;
    int dir = -1;
    std::string leaf;
  };
  Result<Place> Find(const std::string& path);
  Result<UniqueFd> OpenAt(int dir, const std::string& path, int flags, mode_t mode);
  UniqueFd root_;
  std::string display_;
  bool knows_birth_times_;
};

// Makes the open directory one that nobody else enters. EPERM: it belongs to somebody else. `what` is for the message.
Status CloseToOthers(int dir, const std::string& what);

}  // namespace dkfs
