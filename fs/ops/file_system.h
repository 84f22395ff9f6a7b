// The file system: what each FUSE request means. Here inodes, the backing directory, capture (BlueShift) and hydration
// (RedShift) meet. fs/fuse decodes a request, calls one function here, maps the error and replies; no FUSE type comes
// in.
//
// Order of every change: checks under the locks -> record appended -> backing directory changed -> answer. If the
// append fails nothing changed. If the backing change fails the record is voided and the caller gets the errno.
//
// Locks (docs/locks.md): tree lock (names; shared for looking, exclusive for changing) -> inode locks in FileId order.
// Thread-safety: all functions may be called from any thread.
#pragma once

#include <sys/statvfs.h>
#include <sys/types.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fs/backing/backing.h"
#include "fs/hydrate/hydrator.h"
#include "fs/inode/inode.h"
#include "store/store.h"

namespace dkfs {

// Who asks: from the request's header.
struct Caller {
  uid_t uid = 0;
  gid_t gid = 0;
  pid_t pid = 0;
  mode_t umask = 0;
  uint64_t request = 0;  // FUSE unique
};

// What stat shows.
struct Attr {
  FileId file;
  InodeState state;
  uint64_t blocks = 0;  // of 512 bytes
};

struct SetAttrRequest {
  std::optional<mode_t> mode;
  std::optional<uid_t> uid;
  std::optional<gid_t> gid;
  std::optional<uint64_t> size;
  std::optional<TimeSpec> atime, mtime, ctime;
  bool atime_now = false, mtime_now = false;
  bool kill_suidgid = false;  // FUSE_HANDLE_KILLPRIV_V2
};

struct DirEntry {
  EntryId cookie;  // give it back as `after` to go on behind this entry; 1 is ".", 2 is ".."
  FileId file;
  std::string_view name;
  uint8_t type = 0;  // DT_*
};

struct FileSystemOptions {
  bool writeback_cache = false;  // order=fsync: size and times of dirty pages are the kernel's until it hands them over
  bool delta = true;             // capture changed ranges against the pre-image
  // The layout of a file that is made at this path below the root; null or nullopt: the default.
  std::function<std::optional<FileLayout>(std::string_view path)> layout_of_new;
  // Backing files kept open, at least 1, about: some more while all are in use.
  size_t open_files = 256;
  // Unlinked files come on top. One whose descriptor is not below this gives it up when others want theirs, and is made
  // again from the store; so both together leave the store its descriptors.
  size_t unlinked_below = 256;
};

class Drift;  // fs/capture/drift.h

class FileSystem {
 public:
  // Borrows everything; all must outlive it. `drift` is null unless changes made while DIR was not mounted are to be
  // found.
  FileSystem(Store* store, Backing* backing, InodeTable* inodes, Hydrator* hydrator, SharedMutex* tree_lock,
             const FileSystemOptions& options, Drift* drift = nullptr);
  ~FileSystem();

  // The kernel begins to ask. It knows the root without having looked it up, and for good.
  void Begin();

  // --- names. Each Attr returned by these counts one kernel lookup ---
  // "." is `parent` itself, of whatever type, and ".." the directory that holds it: how the kernel finds an inode by
  // its number alone, for file handles.
  Result<Attr> Lookup(FileId parent, std::string_view name);
  void Forget(FileId file, uint64_t count);
  Result<Attr> Create(const Caller& caller, FileId parent, std::string_view name, mode_t mode);
  Result<Attr> MakeNode(const Caller& caller, FileId parent, std::string_view name, mode_t mode, dev_t rdev);
  Result<Attr> MakeDir(const Caller& caller, FileId parent, std::string_view name, mode_t mode);
  Result<Attr> MakeSymlink(const Caller& caller, FileId parent, std::string_view name, std::string_view target);
  Result<Attr> Link(const Caller& caller, FileId file, FileId new_parent, std::string_view new_name);
  Result<Attr> CreateTmpfile(const Caller& caller, FileId parent, mode_t mode);  // O_TMPFILE
  Status Unlink(const Caller& caller, FileId parent, std::string_view name);
  Status RemoveDir(const Caller& caller, FileId parent, std::string_view name);
  // flags: RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT as renameat2(2) combines them; others EINVAL.
  Status Rename(const Caller& caller, FileId parent, std::string_view name, FileId new_parent,
                std::string_view new_name, unsigned flags);
  Result<std::string> ReadLink(FileId file);
  // Entries behind cookie `after` (0: from "."), until `each` returns false. Entries made after the last call from 0
  // are not listed.
  Status ReadDir(FileId dir, uint64_t after, const std::function<bool(const DirEntry&)>& each);
  // For readdirplus: the attributes of an entry that was listed, counting one lookup. ENOENT: it is another one by now.
  Result<Attr> LookupEntry(FileId parent, std::string_view name, FileId file);

  // --- attributes ---
  Result<Attr> GetAttr(FileId file);
  // Type and permission bits of an inode in memory, 0 when it is not: cheap enough for every write.
  uint32_t CachedMode(FileId file);
  Result<Attr> SetAttr(const Caller& caller, FileId file, const SetAttrRequest& request);
  Result<std::string> GetXattr(FileId file, std::string_view name);
  Result<std::vector<std::string>> ListXattrs(const Caller& caller, FileId file);  // trusted.* for root only
  Status SetXattr(const Caller& caller, FileId file, std::string_view name, std::string_view value, int flags,
                  bool acl_kill_sgid);
  // ENODATA when there is none; an ACL that is not there may be removed.
  Status RemoveXattr(const Caller& caller, FileId file, std::string_view name);

  // --- content ---
  // Nothing is opened for a caller: to dkfs a file is open as long as the kernel has not forgotten it. Backing files
  // are opened when used, and closed when others need the room or by CloseIdle: those not used since it was called
  // last.
  void CloseIdle();
  Result<size_t> Read(FileId file, MutableBytes out, uint64_t offset);
  // `append`: O_APPEND (offset is the kernel's idea; the end of file counts under the lock). `from_cache`: pages handed
  // over by the kernel's cache (FUSE_WRITE_CACHE), whose offset holds as it is and, with the writeback cache, whose
  // times too.
  Result<size_t> Write(const Caller& caller, FileId file, Bytes data, uint64_t offset, bool append, bool kill_suidgid,
                       bool from_cache = false);
  Status Allocate(const Caller& caller, FileId file, int mode, uint64_t offset, uint64_t length);
  // SEEK_DATA and SEEK_HOLE, by what the daemon has: the answer rests on [hole, hole_end) being a hole (empty: on
  // none), in which pages may be dirty that the kernel has not handed over. `size` is that of the file.
  struct Sought {
    Result<uint64_t> at = Status::Error(ENXIO);
    uint64_t hole = 0, hole_end = 0, size = 0;
  };
  Result<Sought> Seek(FileId file, uint64_t offset, int whence);
  // At most 1 MiB a call (one record); a short count is legal.
  Result<size_t> CopyRange(const Caller& caller, FileId from, uint64_t from_offset, FileId to, uint64_t to_offset,
                           size_t length);
  // `done` runs once, when everything recorded of the file so far is synced; maybe in another thread, maybe at once.
  void Fsync(FileId file, std::function<void(Status)> done);
  Status FsyncAndWait(FileId file);  // the same, in this thread
  Result<struct statvfs> StatFs();

  // --- whole ---
  // The backing path of an inode by its hints. REQUIRES the tree lock (shared is enough).
  Result<std::string> PathOf(const Inode& inode);
  // The layout in force, and whether its block size may change: see SetLayout. EINVAL for what is no regular file.
  struct LayoutNow {
    FileLayout layout;
    uint64_t bytes = 0;  // of content
    bool resizable = false;
  };
  Result<LayoutNow> LayoutOf(FileId file);
  // Has the file captured by `layout` from now on; recorded. The block size stays as it is while the content is too
  // much for one record, not all present or not all captured. What is in force now.
  Result<FileLayout> SetLayout(FileId file, const FileLayout& layout);
  // What capture has spent on the file since this was asked last. Zeros for a file that is not in memory.
  CaptureCosts TakeCosts(FileId file);
  // Runs `body` with the inode's lock held exclusively and its backing file open: for capture in the background.
  Status WithContent(FileId file, const std::function<Status(Inode&)>& body);
  // The errno with which the backing directory last refused a change; 0 once it took one again. Then it is Degraded.
  int backing_error() const;
  // Compares everything that was not used yet with the backing directory (drift). `cancel` is polled.
  Status CompareAll(const std::function<bool()>& cancel);
  // Ends what had lost its last name at `before`, the moment at which this mount began, and was not ended then: a crash
  // came first, or the kernel had no time to forget it. Nobody can have it open now. `cancel` is polled.
  Status EndOrphans(Seq before, const std::function<bool()>& cancel);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace dkfs
