// Inside of Hydrator, split over prepare.cc, content.cc, directory.cc, settle.cc, background.cc, deferred.cc,
// reclaim.cc and finish.cc.
#pragma once

#include <atomic>
#include <deque>
#include <optional>
#include <set>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "fs/hydrate/aside.h"
#include "fs/hydrate/hydrator.h"
#include "fs/hydrate/presence.h"
#include "store/base/mutex.h"
#include "store/base/pace.h"

namespace dkfs {

inline constexpr uint64_t kSpanBytes = 1 << 20;  // read, verified and written at once, where somebody waits for it
// The same in the background, which holds an inode's lock meanwhile.
inline constexpr uint64_t kBackgroundSpanBytes = 256 << 10;

// Whether what is restored is likely to be read soon. What nobody asked for does not stay in the page cache: it would
// push out what is in use, and costs more than the rest of its hydration where the pages have to be made for it.
enum class Wanted { kSoon, kSomeday };

// How the background goes about a file.
enum class Haste {
  kThrottled,  // at the rate that was asked for, giving way
  kGivesWay,   // while others wait for the CPUs
  kFull,       // somebody waits
};

class Hydrator::Impl {
 public:
  Impl(Store* s, Backing* b, InodeTable* i, SharedMutex* t, const HydrateOptions& o)
      : store(s), backing(b), inodes(i), tree(*t), options(o), aside(b, s->path(), o.aside_budget_bytes) {}

  Store* const store;
  Backing* const backing;
  InodeTable* const inodes;
  SharedMutex& tree;
  const HydrateOptions options;
  Aside aside;

  // --- where an inode's entries are ---
  struct Link {
    FileId parent;
    std::string path;
  };
  // All paths the store gives an inode. REQUIRES the tree lock, shared at least.
  Result<std::vector<Link>> LinksOf(FileId file);
  bool KnownPresent(FileId file) EXCLUDES(mutex);
  Result<bool> FingerprintMatches(FileId file, const std::string& path);
  // Its attributes were recorded in this mount before the backing entry was looked at.
  bool OwesAttributes(const Inode& inode) REQUIRES_SHARED(inode.lock) EXCLUDES(mutex);
  // Beside a partial file that has less than was adopted: how many bytes of that, in decimal; empty: none.
  static std::string LostPath(FileId file);
  // Of a partial file of `size` bytes, those that are adopted content; remembered, since it may be made longer now.
  Result<uint64_t> Believe(const Inode& inode, uint64_t size) REQUIRES(inode.lock);

  // --- prepare.cc ---
  Status Prepare(Inode& inode, const std::string& path) REQUIRES(inode.lock);
  Result<bool> ReopenKnown(Inode& inode, const std::string& path) REQUIRES(inode.lock);
  Result<bool> TakeAsItStands(Inode& inode, const std::string& path) REQUIRES(inode.lock);
  Status BeginPartial(Inode& inode, const std::string& path) REQUIRES(inode.lock);
  static bool MayHold(const struct stat& st, const InodeState& state);
  Result<bool> TakeCandidate(Inode& inode, const std::string& path) REQUIRES(inode.lock);
  Result<bool> TakeAliased(Inode& inode, const std::vector<Link>& same) REQUIRES(inode.lock);
  Result<bool> KeepAlone(Inode& inode) REQUIRES(inode.lock);
  Status CopyToPartial(Inode& inode, const std::string& path) REQUIRES(inode.lock);
  Status StartFresh(Inode& inode) REQUIRES(inode.lock);
  Status CutTail(Inode& inode, int fd, uint64_t size, const std::string& path) REQUIRES(inode.lock);
  // The backing file with all it holds goes aside, a new one takes its place, and every block is absent.
  Status SwapAside(Inode& inode, const std::string& path) REQUIRES(inode.lock);
  // One more name for a file that turns kPartial.
  Status LinkPartial(Inode& inode) REQUIRES(inode.lock);

  // --- content.cc ---
  Status MakePresent(Inode& inode, uint64_t first, uint64_t count, Wanted wanted) REQUIRES(inode.lock);
  Made Make(Inode& inode, uint64_t first, uint64_t count) EXCLUDES(inode.lock);
  void Use(Inode& inode, const Made& made, Wanted wanted) REQUIRES(inode.lock);
  // The block is absent in a hole of the backing file, and its newest version is what was made.
  bool IsStill(Inode& inode, const Made& made, uint64_t block) REQUIRES(inode.lock);
  // Marks blocks present that are holes in the store and in the backing file; the first block behind them.
  Result<uint64_t> SkipHoles(Inode& inode, uint64_t from, uint64_t end) REQUIRES(inode.lock);
  Status FillSpan(Inode& inode, uint64_t first, uint64_t count, Wanted wanted) REQUIRES(inode.lock);
  Status Verify(Inode& inode, uint64_t first, MutableBytes bytes, std::vector<bool>* good) REQUIRES(inode.lock);
  Status Reconstruct(Inode& inode, uint64_t first, uint64_t count, Bytes before, Wanted wanted) REQUIRES(inode.lock);
  Status PutRun(Inode& inode, const Store::BlockRun& run, Bytes before, Wanted wanted) REQUIRES(inode.lock);
  Status Uncaptured(Inode& inode, uint64_t block) REQUIRES(inode.lock);
  void NoteDamage(Inode& inode, uint64_t block, const Status& why) REQUIRES(inode.lock);
  void NoteComplete(Inode& inode) REQUIRES(inode.lock);
  void NoteToFill(Inode& inode) REQUIRES(inode.lock);  // whatever the plan has done already

  // --- directory.cc ---
  Status PrepareDirectory(Inode& dir, const std::string& path) REQUIRES(tree);
  Status EnsureDirectory(FileId dir, const std::string& path);
  Status NoteAbove(FileId dir) EXCLUDES(mutex);  // what was made changed the times of the directories above
  Status MoveStrangersAside(FileId dir, const std::string& path);
  Status ApplyAttributes(FileId file, const InodeState& state, const std::string& path);
  Status PrepareDirectoryOf(FileId dir) EXCLUDES(tree);
  // Symbolic links, sockets, fifos, devices. REQUIRES the tree lock, shared at least.
  Status MakeSpecial(Inode& inode) REQUIRES(inode.lock);

  // --- settle.cc ---
  // Gives a complete partial file its names. Ok also when there is nothing to do.
  Status Settle(FileId file) EXCLUDES(tree);
  Status NoteAdopted(Inode& inode, const struct stat& st) REQUIRES(inode.lock);
  Status PlaceNames(Inode& inode, const std::vector<Link>& links) REQUIRES(inode.lock);
  // A file that nobody has open keeps no descriptor.
  static void CloseUnused(Inode& inode) REQUIRES(inode.lock);
  // Directories above all names of the inode are kPresent. REQUIRES no lock.
  Status PrepareParents(FileId file) EXCLUDES(tree);
  Status DrainComplete() EXCLUDES(tree, mutex);
  // What fails is logged.
  Status FillAndSettle(FileId file, Haste haste, const std::function<bool()>& cancel) EXCLUDES(tree, mutex);

  // --- background.cc ---
  struct Item {
    FileId file;
    uint64_t bytes = 0;
  };
  using Plan = std::vector<Item>;  // directories first
  Result<Plan> MakePlan() EXCLUDES(mutex);
  // One inode, whatever it is. ECANCELED when `cancel` says so.
  Status HydrateOne(FileId file, Haste haste, const std::function<bool()>& cancel) EXCLUDES(tree, mutex);
  Status HydrateFile(Inode& inode, Haste haste, const std::function<bool()>& cancel) EXCLUDES(tree, mutex);
  Status FillAll(Inode& inode, Haste haste, const std::function<bool()>& cancel) EXCLUDES(tree, mutex);
  // True: the content was not open before.
  Result<bool> OpenContent(Inode& inode) EXCLUDES(tree, mutex);
  // What the part that comes first keeps from extent to extent.
  struct HotPart {
    std::optional<std::unique_ptr<Warmer>> warmer;  // started when there is something for it; null: none to be had
    FileId file;                                    // of `path`
    std::string path;
  };
  // The extents that come first: those at most 16 times colder than the hottest. Restoring the others in the order
  // of heat would only scatter them. Whatever fails, or is not as it was when they were recorded, is left to the plan.
  static std::vector<HotExtent> HotFirst(const std::vector<HotExtent>& known);
  Status RunHot(const std::function<bool()>& cancel) EXCLUDES(tree, mutex);
  Status HydrateExtent(const HotExtent& extent, HotPart* part) EXCLUDES(tree, mutex);
  struct BlockRange {
    uint64_t first, end;
  };
  static std::vector<BlockRange> HotBlocks(const HotExtent& extent, uint8_t block_shift);
  // *bytes: made present.
  Status FillHot(Inode& inode, const BlockRange& hot, const Made& made, uint64_t* bytes) REQUIRES(inode.lock);
  Status RunPlan(const Plan& plan, Haste haste, const std::function<bool()>& cancel) EXCLUDES(tree, mutex);
  void Warm(HotPart* part, FileId file, uint64_t offset, uint64_t bytes) EXCLUDES(tree, mutex);
  void Throttle(uint64_t bytes) EXCLUDES(mutex);
  bool Stopping() EXCLUDES(mutex);
  void Run() EXCLUDES(tree, mutex);
  void WaitForWork() REQUIRES(mutex);
  void Start();
  void Stop() EXCLUDES(mutex);
  HydrateProgress Progress() EXCLUDES(mutex);

  // --- deferred.cc ---
  bool TakesDeferred(uint64_t bytes, uint64_t end) const;
  Status BeginDeferring(Inode& inode, const std::string& path) REQUIRES(inode.lock) EXCLUDES(mutex);
  void Defer(Inode& inode, uint64_t first, uint64_t count) REQUIRES(inode.lock) EXCLUDES(mutex);
  void NoteDeferred(FileId file, uint64_t bytes) EXCLUDES(mutex);
  uint64_t DeferredDueNs() const REQUIRES(mutex);
  // Fills and settles what is deferred, once it is due.
  void FillDeferred() EXCLUDES(tree, mutex);

  // --- reclaim.cc ---
  using Misplaced = std::unordered_map<uint64_t, FileId>;  // by inode number
  Status Reclaim() EXCLUDES(tree);
  // The backing file with this inode number stands at none of the file's names, or another stands at one of them.
  Result<bool> IsMisplaced(FileId file, uint64_t number);
  Status ReclaimOne(const std::string& path, Misplaced* misplaced);
  // Size and time of change are the recorded ones.
  static bool LooksLike(const struct stat& st, const InodeState& state);

  // --- finish.cc ---
  Status Finish(const std::function<bool()>& cancel) EXCLUDES(tree, mutex);
  Status SweepPartial() EXCLUDES(tree);  // EAGAIN: some file in use is not complete
  Status SweepOne(const std::string& name) REQUIRES(tree);
  Status WriteTimesAndFingerprints() EXCLUDES(tree, mutex);
  Result<bool> WriteOne(FileId file, Fingerprint* print) EXCLUDES(tree, mutex);
  void NoteTouched(FileId file) EXCLUDES(mutex);
  void NoteXattrs(FileId file) EXCLUDES(mutex);
  Status WriteAttributes(const Inode& inode, const std::string& path) REQUIRES(inode.lock) EXCLUDES(mutex);

  // Taken last, under any other lock.
  Mutex mutex;
  CondVar wake;
  std::atomic<bool> stopping{false};              // set under the mutex
  std::deque<FileId> complete GUARDED_BY(mutex);  // partial files without absent blocks, or with blocks to repair
  std::unordered_map<FileId, uint64_t> deferred GUARDED_BY(mutex);  // bytes by file; 0: only to be settled
  uint64_t first_deferred_ns GUARDED_BY(mutex) = 0, last_deferred_ns GUARDED_BY(mutex) = 0;
  std::unordered_set<FileId> touched GUARDED_BY(mutex);
  std::unordered_set<FileId> owed_xattrs GUARDED_BY(mutex);           // each is in `touched`, or just being written
  std::set<std::pair<uint64_t, uint64_t>> damaged GUARDED_BY(mutex);  // (file, block) already reported
  HydrateProgress counts GUARDED_BY(mutex);                           // totals and files; blocks are counted below
  uint64_t pass_started_ns GUARDED_BY(mutex) = 0;
  uint64_t throttle_until_ns = 0;   // the background thread's own
  Pace pace{[] { return false; }};  // likewise: what is not hot gives way while others wait for the CPUs
  std::atomic<uint64_t> reconstructed{0}, verified{0};
  std::atomic<uint64_t> swaps{0};  // SwapAside: what was present of a file is absent again
  std::atomic<bool> warned_xattr{false};
  std::atomic<uint64_t> deferred_bytes{0};
  std::atomic<bool> takes_deferred{false};  // the background waits for them
  std::atomic<bool> refuses_deferred{false};
  std::thread thread;
};

}  // namespace dkfs
