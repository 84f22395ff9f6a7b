// RedShift: makes backing files and directories hold what the store says, on first access and in the background.
//
// Nothing in the backing directory is believed until checked, except after a clean unmount, when an inode's fingerprint
// (size, mtime, ctime, inode number) is what was recorded. A block is checked by comparing the checksum of the backing
// bytes with that of the newest version: equal, it is present as it stands; otherwise it is reconstructed and written.
// Bytes about to be overwritten that no retained version explains are copied aside first; unexpected names, links and
// types are moved aside (fs/hydrate/aside.h), within a budget.
//
// Invariants
//   H1  While a file has absent blocks its backing file is .dkfs-partial/FileId, never one of its names. (Except after
//   a failed
//       backing write: then it has both until settled; unmounted uncleanly, nothing is believed anyway.)
//   H2  present => the backing bytes of the block are those of the newest version (or the bytes are still to be
//   captured:
//       ContentState::kAdopting and no version).
//   H3  kPresent directory => exists in the backing directory, and each name in it is one the store knows with that
//       type.
//   H4  One backing inode serves one FileId.
//   H5  Hydration writes bytes only; it appends no record.
//   H6  What was made without the inode's lock is written under it only to blocks that are absent still, and only if no
//       record was appended since, or it has the checksum of their newest version then.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "fs/backing/backing.h"
#include "fs/inode/inode.h"
#include "store/store.h"

namespace dkfs {

// Brings what has just become present into the kernel's page cache, so that its first readers need ask nobody.
class Warmer {
 public:
  virtual ~Warmer() = default;
  // `path` from the mounted directory. Never waits; advice, of which anything may be lost.
  virtual void Warm(const std::string& path, uint64_t offset, uint64_t bytes) = 0;
};

// Which writes of new content are left to the background, and for how long.
struct DeferOptions {
  uint64_t least_write_bytes = 128 << 10;     // in one record
  uint64_t least_file_bytes = 1 << 20;        // a shorter file costs more to be moved twice than to be written
  uint64_t most_bytes = 1 << 30;              // deferred at once; what comes on top is written directly
  std::chrono::milliseconds quiet{1000};      // after the last one the background begins,
  std::chrono::milliseconds longest{30'000};  // and this long after the first in any case
};

struct HydrateOptions {
  bool trusted = false;                  // DIR was left clean and is recognised: fingerprints count
  uint64_t bytes_per_second = 64 << 20;  // background throttle; 0: none. Foreground work is never throttled
  uint64_t aside_budget_bytes = 1ull << 30;
  bool background = true;
  std::vector<HotExtent> first;  // what the background begins with, hottest first; then everything by FileId
  // For what comes first: called when there is something, and it lives until that is done. May be empty or return null.
  std::function<std::unique_ptr<Warmer>()> start_warmer;
  DeferOptions defer;
};

struct HydrateProgress {
  bool done = false;  // every inode was looked at and nothing is absent
  uint64_t files_total = 0, files_done = 0;
  uint64_t bytes_total = 0, bytes_done = 0;
  uint64_t hot_total = 0, hot_done = 0;  // extents that come first
  uint64_t blocks_reconstructed = 0, blocks_verified = 0, blocks_damaged = 0;
  uint64_t aside_bytes = 0, aside_entries = 0;
  uint64_t deferred_bytes = 0;  // recorded, and not yet in the backing directory; counts neither for `done` nor below
  std::chrono::seconds estimate{0};  // until done, at the present rate
};

class Aside;

class Hydrator {
 public:
  // `tree_lock` is the file system's (fs/ops); see docs/locks.md: tree, then inode.
  Hydrator(Store* store, Backing* backing, InodeTable* inodes, SharedMutex* tree_lock, const HydrateOptions& options);
  ~Hydrator();

  // --- regular files; REQUIRES inode.lock held exclusively ---
  // First use of the content in this mount: decides the presence and opens inode.backing. Cheap when already done.
  // `path` is the backing path of the file by its hint.
  // Files that turn kPartial leave their names (H1): the tree lock must be held, shared is enough. An orphan has path
  // "".
  Status Prepare(Inode& inode, const std::string& path) REQUIRES(inode.lock);
  // Makes [first, first + count) present. REQUIRES: Prepare. EIO (EUCLEAN mapped by the caller) for a damaged block:
  // the others of the range are still tried, so that readers get everything undamaged. EDQUOT: it holds unexplained
  // bytes and the aside budget is used up.
  Status MakePresent(Inode& inode, uint64_t first, uint64_t count) REQUIRES(inode.lock);
  // Blocks made beforehand, without any lock, so that who waits for the inode's does not wait for the store.
  struct Made {
    uint64_t first = 0;
    Seq as_of;               // the last record when it was begun
    std::vector<bool> good;  // from `first` on: those that were made; the others are left to MakePresent
    std::vector<std::byte> bytes;
  };
  // The absent ones of [first, first + count), at most 256 KiB.
  Made Make(Inode& inode, uint64_t first, uint64_t count) EXCLUDES(inode.lock);
  // Makes those present of which the store still says the same. What goes wrong is left to MakePresent.
  void Use(Inode& inode, const Made& made) REQUIRES(inode.lock);
  static bool IsPresent(const Inode& inode, uint64_t first, uint64_t count) REQUIRES_SHARED(inode.lock);
  // A whole block was just written.
  void MarkPresent(Inode& inode, uint64_t first, uint64_t count) REQUIRES(inode.lock);
  // The backing write of these blocks failed, maybe half way (turns kPresent into kPartial). Those beyond the recorded
  // size do not count.
  void MarkAbsent(Inode& inode, uint64_t first, uint64_t count) REQUIRES(inode.lock);
  // The backing file has lost its last name, and no descriptor leads to it: the next Prepare begins anew.
  void MarkUnknown(Inode& inode) REQUIRES(inode.lock);
  // Its backing entry may not have the recorded times yet.
  bool OwesAttributes(const Inode& inode) REQUIRES_SHARED(inode.lock);
  // After the backing file was truncated.
  void MarkResized(Inode& inode, uint64_t old_size, uint64_t new_size) REQUIRES(inode.lock);

  // --- deferred blocks: of long writes, which the background brings into the backing file later ---
  // Whether a write of `bytes`, up to `end` of the file, is long enough, everything else is hydrated, and not too much
  // is deferred. Needs no lock; may have changed when it returns.
  bool TakesDeferred(uint64_t bytes, uint64_t end) const;
  // A present file becomes one that may have absent blocks; it has none yet. `path`: its only name. REQUIRES: the tree
  // lock, shared is enough (H1). Not Ok: it stays as it is.
  Status BeginDeferring(Inode& inode, const std::string& path) REQUIRES(inode.lock);
  // Blocks that were recorded and not written. The backing file has room for them, and a hole there. REQUIRES:
  // kPartial.
  void Defer(Inode& inode, uint64_t first, uint64_t count) REQUIRES(inode.lock);
  void RefuseDeferred();  // from now on: the backing file system cannot make room beforehand

  // --- directories; REQUIRES the tree lock (exclusive) ---
  // The backing directory exists, carries its attributes, and holds no name the store does not know (H3).
  Status PrepareDirectory(Inode& dir, const std::string& path);

  // --- after an unclean end, before anything is served ---
  // Adopted content that was not captured, and stands under another name than the store says, is found in DIR.
  // REQUIRES: DIR is the one it was adopted from.
  Status Reclaim();

  // --- background ---
  void Start();
  void Stop();
  // Hydrates everything that is left, unthrottled (clean unmount). `cancel` is polled. Ok: the backing directory is
  // complete. ECANCELED: `cancel` said so. EUCLEAN: some blocks cannot be made. Stops the background work.
  Status Finish(const std::function<bool()>& cancel);
  // Writes recorded times to backing files whose times are dirty, and fingerprints of all that changed since the last
  // call.
  Status WriteTimesAndFingerprints();
  void NoteTouched(FileId file);  // content, attributes or names of it changed: its fingerprint is to be written again
  // An extended attribute did not reach its backing entry: with the fingerprint they are all compared and written.
  void NoteXattrs(FileId file);
  HydrateProgress progress() const;
  Aside& aside();

  class Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace dkfs
