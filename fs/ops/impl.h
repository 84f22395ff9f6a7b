// Inside of FileSystem, split over names.cc, remove.cc, rename.cc, attributes.cc, xattrs.cc, content.cc and space.cc.
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "fs/capture/capture.h"
#include "fs/capture/drift.h"
#include "fs/ops/file_system.h"
#include "store/base/clock.h"

namespace dkfs {

// fallocate(2) on a backing file, after the record of it.
Status AllocateRecorded(int fd, int mode, uint64_t offset, uint64_t length);

struct BlockSpan {
  uint64_t first = 0;
  uint64_t count = 0;
};

class FileSystem::Impl {
 public:
  Impl(Store* s, Backing* b, InodeTable* i, Hydrator* h, SharedMutex* t, const FileSystemOptions& o, Drift* d)
      : store(s), backing(b), inodes(i), hydrator(h), tree(*t), options(o), drift(d), capture(s, o.delta) {}

  Store* const store;
  Backing* const backing;
  InodeTable* const inodes;
  Hydrator* const hydrator;
  SharedMutex& tree;
  const FileSystemOptions options;
  Drift* const drift;
  Capture capture;
  std::atomic<int> backing_error{0};
  std::atomic<uint64_t> freed_ns{0};  // when an open backing file last lost its last name, or was closed then
  Mutex open_order_mutex;
  std::deque<FileId> open_order
      GUARDED_BY(open_order_mutex);  // whose backing files were opened, oldest first; some were closed since

  // --- looking up ---
  // The inode, compared with the backing directory first where that is asked for (drift).
  Result<InodeRef> Get(FileId file) EXCLUDES(tree);
  Result<InodeRef> GetLocked(FileId file) REQUIRES(tree);
  // A directory that exists, with its backing directory prepared for a change of names.
  Result<InodeRef> DirectoryForChange(FileId file) REQUIRES(tree);
  Status CheckNewName(FileId parent, std::string_view name) const;
  Result<std::string> PathOf(const Inode& inode) REQUIRES_SHARED(tree);
  Result<std::string> ChildPath(const Inode& dir, std::string_view name) REQUIRES_SHARED(tree);
  // Compared with the backing directory in this mount, or never to be.
  bool IsCompared(Inode& inode) const EXCLUDES(inode.lock);
  // Whether nothing is to be recorded of the inode at `name` in `dir` that changed while it was not mounted (drift).
  Result<bool> IsUnchanged(Inode& inode, const Inode& dir, std::string_view name) REQUIRES_SHARED(tree)
      EXCLUDES(inode.lock);
  // As Store::Lookup. That a name is absent is remembered: making it is what mostly comes next.
  Result<NameValue> FindName(Inode& dir, std::string_view name) REQUIRES_SHARED(tree);
  // Whether FindName has just said so: nothing was recorded since.
  bool IsKnownAbsent(Inode& dir, std::string_view name) REQUIRES(tree);
  Attr MakeAttr(Inode& inode) REQUIRES_SHARED(tree, inode.lock);
  // The answer of an operation that gives the kernel one more lookup of the inode.
  Attr Answer(Inode& inode) REQUIRES_SHARED(tree);

  Result<Attr> LookupSelf(FileId file) EXCLUDES(tree);

  // So that an attribute too large for the backing file system is refused when it is set: hydration could not do it.
  void PrepareForXattrs(FileId file) EXCLUDES(tree);
  // An extended attribute; ENOENT, mostly without asking the store, when there is none.
  Result<std::string> Xattr(Inode& inode, std::string_view name) REQUIRES_SHARED(inode.lock);

  // --- making names (names.cc) ---
  struct NewInode {
    mode_t mode = 0;
    dev_t rdev = 0;
    std::string_view target;
    bool open = false;
  };
  Result<Attr> Make(const Caller& caller, FileId parent, std::string_view name, const NewInode& spec) EXCLUDES(tree);
  // State and inherited ACLs of a new inode below `dir`.
  struct Inherited {
    InodeState state;
    std::string access_acl, default_acl;
  };
  Result<Inherited> Inherit(const Caller& caller, Inode& dir, const InodeState& dir_state, const NewInode& spec)
      REQUIRES_SHARED(dir.lock);
  Status LinkLocked(const Caller& caller, Inode& dir, Inode& inode, std::string_view name, const std::string& old_path,
                    const std::string& path);  // REQUIRES: tree, and the locks of both inodes
  // Gives an O_TMPFILE its first name, with `state` and all that was recorded of it before.
  Status Name(Inode& inode, const InodeState& state, const std::string& path) REQUIRES(inode.lock);
  Status MakeBacking(const std::string& path, const NewInode& spec, const Inherited& made, UniqueFd* fd);

  // --- removing names (remove.cc, rename.cc) ---
  Status Remove(const Caller& caller, FileId parent, std::string_view name, bool directory) EXCLUDES(tree);
  Status RemoveLocked(const Caller& caller, Inode& dir, Inode& child, EntryId entry, std::string_view name,
                      const std::string& path);  // REQUIRES: tree, and the locks of both inodes
  struct RenamePlan;
  Status RenameLocked(const Caller& caller,
                      const RenamePlan& plan);  // REQUIRES: tree, and the locks of all inodes in it
  Status RenameBacking(const RenamePlan& plan);
  Result<bool> IsBelow(FileId dir, FileId ancestor) REQUIRES(tree);
  // What becomes of an inode that loses one name: appends its item to `record`, gives the state it will have.
  InodeState LoseName(Inode& inode, const TimeSpec& now, RecordBuilder* record) REQUIRES(inode.lock);
  // The kernel has forgotten the inode, so nobody has it open: what has no name is gone.
  void EndOrphan(Inode& inode) EXCLUDES(inode.lock);
  // Before the backing name goes: an inode that somebody may have open is kept reachable through its descriptor.
  void KeepReachable(Inode& inode, const std::string& path) REQUIRES(inode.lock);
  void AfterLastName(Inode& inode) REQUIRES(inode.lock);
  void DropPartial(FileId file);
  // Content that is only in the backing file is recorded and synced before a name of it may go; and before it gets
  // another, if it was changed and has no time of birth, since Hydrator::Reclaim would not know the file again.
  enum class NameChange { kRemoval, kRename };
  Status SecureBefore(NameChange change, FileId parent, std::string_view name) EXCLUDES(tree);
  Status SecureInPieces(Inode& inode) EXCLUDES(tree, inode.lock);
  Status SecureAll(Inode& inode) REQUIRES(inode.lock);
  // The same once the name cannot change any more: mostly there is nothing left to do.
  Status SecureLate(Inode& inode) REQUIRES(tree) EXCLUDES(inode.lock);
  // What was captured of the content, in the background perhaps, is synced. Before anything of it is changed or removed
  // in the backing directory.
  Status SyncAdopted(Inode& inode) REQUIRES(inode.lock) {
    const uint64_t seq = inode.adopted_seq.load(std::memory_order_relaxed);
    return seq == 0 ? Status::Ok() : SyncAdoptedTo(inode, Seq{seq});
  }
  Status SyncAdoptedTo(Inode& inode, Seq seq) REQUIRES(inode.lock);

  // --- content (content.cc) ---
  // Runs `body` with the inode's lock held exclusively and its backing file open (hydration prepared).
  template <class Body>
  NO_THREAD_SAFETY_ANALYSIS auto WithContent(FileId file, Body body) -> decltype(body(std::declval<Inode&>()));
  Status OpenBacking(Inode& inode) REQUIRES_SHARED(tree) REQUIRES(inode.lock);
  bool IsCrowded(int fd) const;  // so many descriptors are in use that orphans cannot keep theirs
  void MakeRoom(UniqueFd* fd) EXCLUDES(open_order_mutex);  // others give up theirs, so that it is not crowded
  void NoteOpened(Inode& inode) EXCLUDES(open_order_mutex);
  // Closes backing files that were not used lately, down to options.open_files. Not under the locks of inodes.
  void CloseOldest() EXCLUDES(open_order_mutex);
  bool CloseFront(size_t enough) EXCLUDES(open_order_mutex);  // the one opened first; false: no more than enough
  bool CloseUnused(Inode& inode) EXCLUDES(inode.lock);        // false: it is in use
  Status MakePresent(Inode& inode, uint64_t offset, uint64_t length) REQUIRES(inode.lock);
  // Of a change of [offset, end) in `size` bytes: the blocks it covers in part, which keep some of what they had.
  Status MakeEndsPresent(Inode& inode, uint64_t offset, uint64_t end, uint64_t size) REQUIRES(inode.lock);
  Result<size_t> WriteLocked(const Caller& caller, Inode& inode, Bytes data, uint64_t offset, bool kill_suidgid,
                             bool from_cache) REQUIRES(inode.lock);
  // The whole blocks of a long write into a hole that may be left to the background (Hydrator::Defer); often none.
  BlockSpan DeferrableBlocks(const Inode& inode, Bytes data, uint64_t offset) REQUIRES_SHARED(inode.lock);
  // Before the locks for a long write are taken: its file may have to become one that may have absent blocks.
  void BeginDeferring(FileId file, Bytes data, uint64_t offset) EXCLUDES(tree);
  // The backing file gets `data`, but for `deferred`, for which it gets room. *deferred becomes empty where it cannot.
  Status WriteAround(Inode& inode, Bytes data, uint64_t offset, BlockSpan* deferred) REQUIRES(inode.lock);
  void NoteWritten(Inode& inode, const BlockSpan& written, const BlockSpan& deferred) REQUIRES(inode.lock);
  Status Truncate(const Caller& caller, Inode& inode, InodeState after) REQUIRES(inode.lock);
  bool Grows(FileId file, uint64_t size);  // whether `size` is more than a file in memory has
  // lseek for SEEK_DATA or SEEK_HOLE.
  Result<uint64_t> NextEdge(Inode& inode, uint64_t offset, int whence) REQUIRES(inode.lock);
  Status ZeroLocked(const Caller& caller, Inode& inode, int mode, uint64_t offset, uint64_t length)
      REQUIRES(inode.lock);
  // The content from the store alone: for reads while the backing directory cannot take or give it.
  Result<size_t> ReadFromStore(Inode& inode, MutableBytes out, uint64_t offset) REQUIRES_SHARED(inode.lock);
  // EROFS when the backing file could only be opened for reading and still can not be opened for writing.
  Status MakeWritable(Inode& inode) REQUIRES(inode.lock);
  // A change of the backing directory that takes space. What a removal frees is there when the kernel has forgotten the
  // file, a moment after the answer: a disk that is full right then is asked again.
  template <class Change>
  Status TakeSpace(Change change);
  // Notes that the backing directory refused a change, for status; gives the error back.
  Status Refused(const Status& error);
  // The record `seq`, of the state `after`, was made but the backing file did not take it, or in part. Gives `error`.
  Status Undo(Inode& inode, const InodeState& after, Seq seq, uint64_t offset, uint64_t length, Status error)
      REQUIRES(inode.lock);
  Status DropCapability(Inode& inode) REQUIRES(inode.lock);
  // Allocation that changes no byte: only times and set-id bits are recorded.
  Status AllocateOnly(const Caller& caller, Inode& inode, const InodeState& after, int mode, uint64_t offset,
                      uint64_t length) REQUIRES(inode.lock);

  // --- publishing ---
  // The record is on its way: state, last_seq and what the backing directory still owes.
  void Publish(Inode& inode, const InodeState& state, Seq seq) REQUIRES(inode.lock);
  // Attributes of a present inode follow the record into the backing directory. A failure is not the caller's: the
  // store holds the truth, and the fingerprint pass writes them again.
  void FollowAttributes(Inode& inode) REQUIRES_SHARED(tree) REQUIRES(inode.lock);
  // The same for a mode that lost bits, through the open backing file. REQUIRES: before Publish.
  void FollowMode(Inode& inode, const InodeState& after) REQUIRES(inode.lock);
  Status FollowXattr(Inode& inode, std::string_view name, const std::string* value) REQUIRES_SHARED(tree)
      REQUIRES(inode.lock);
};

// Locks several inodes exclusively in FileId order; one named twice is locked once, null is passed over.
class InodeLocks {
 public:
  explicit InodeLocks(std::vector<Inode*> inodes) NO_THREAD_SAFETY_ANALYSIS : inodes_(std::move(inodes)) {
    std::erase(inodes_, nullptr);
    std::sort(inodes_.begin(), inodes_.end(), [](const Inode* a, const Inode* b) { return a->id < b->id; });
    inodes_.erase(std::unique(inodes_.begin(), inodes_.end()), inodes_.end());
    for (Inode* inode : inodes_) inode->lock.lock();
  }
  ~InodeLocks() NO_THREAD_SAFETY_ANALYSIS {
    for (auto it = inodes_.rbegin(); it != inodes_.rend(); ++it) (*it)->lock.unlock();
  }
  InodeLocks(const InodeLocks&) = delete;
  InodeLocks& operator=(const InodeLocks&) = delete;

 private:
  std::vector<Inode*> inodes_;
};

// What a change of content or owner takes away: set-user-ID, and set-group-ID where the group may execute or the caller
// is no member of the group (as the kernel's setattr_should_drop_sgid).
void KillSuidSgid(const Caller& caller, InodeState* state);
inline bool IsDir(const InodeState& state) { return S_ISDIR(state.mode); }
inline bool IsRegular(const InodeState& state) { return S_ISREG(state.mode); }
inline uint8_t DirentType(uint32_t mode) { return static_cast<uint8_t>((mode & S_IFMT) >> 12); }

template <class Change>
Status FileSystem::Impl::TakeSpace(Change change) {
  constexpr uint64_t kRecentlyNs = 500'000'000;
  constexpr std::chrono::milliseconds kPause{5};
  constexpr int kAttempts = 40;
  Status done = change();
  for (int i = 0; i < kAttempts && (done.code() == ENOSPC || done.code() == EDQUOT); ++i) {
    if (MonotonicNs() - freed_ns.load(std::memory_order_relaxed) > kRecentlyNs) return done;
    std::this_thread::sleep_for(kPause);
    done = change();
  }
  return done;
}

template <class Body>
NO_THREAD_SAFETY_ANALYSIS auto FileSystem::Impl::WithContent(FileId file, Body body)
    -> decltype(body(std::declval<Inode&>())) {
  Result<InodeRef> ref = Get(file);
  if (!ref.ok()) return ref.status();
  Inode& inode = **ref;
  {
    ExclusiveLock l(inode.lock);
    if (inode.backing.valid()) {
      inode.used.store(true, std::memory_order_relaxed);
      return body(inode);
    }
  }
  CloseOldest();
  tree.lock_shared();
  inode.lock.lock();
  Status opened = IsRegular(inode.state) ? OpenBacking(inode) : Status::Error(IsDir(inode.state) ? EISDIR : EINVAL);
  tree.unlock_shared();
  struct Unlock {
    SharedMutex& m;
    ~Unlock() NO_THREAD_SAFETY_ANALYSIS { m.unlock(); }
  } unlock{inode.lock};
  if (!opened.ok()) return opened;
  return body(inode);
}

}  // namespace dkfs
