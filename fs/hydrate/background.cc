// Background hydration at a bounded rate: what is known to be hot, then every inode of the store once, directories
// first.
#include <algorithm>
#include <bit>
#include <system_error>
#include <tuple>

#include "fs/hydrate/impl.h"
#include "store/base/log.h"
#include "store/base/scheduling.h"

namespace dkfs {

Result<Hydrator::Impl::Plan> Hydrator::Impl::MakePlan() {
  Plan plan, others;
  uint64_t bytes = 0;
  DKFS_TRY(store->EachInode(kLatest, [&](FileId file, const InodeState& state) {
    if (state.mode == 0 || state.nlink == 0) return true;
    const uint64_t size = S_ISREG(state.mode) ? state.size : 0;
    (S_ISDIR(state.mode) ? plan : others).push_back({file, size});
    bytes += size;
    return true;
  }));
  plan.insert(plan.end(), others.begin(), others.end());
  MutexLock l(mutex);
  counts.done = false;
  counts.files_total = plan.size();
  counts.bytes_total = bytes;
  counts.files_done = counts.bytes_done = 0;
  pass_started_ns = MonotonicNs();
  return plan;
}

// Of similar heat in file order: neighbours lie in the same frames of packs and blocks of the index.
std::vector<HotExtent> Hydrator::Impl::HotFirst(const std::vector<HotExtent>& known) {
  constexpr int kBands = 4;  // each half as hot as the one before; what is colder is not hot
  const auto band = [&](const HotExtent& e) {
    int n = 0;
    while (n < kBands && e.heat < known.front().heat >> (n + 1)) ++n;
    return n;
  };
  std::vector<HotExtent> hot;
  for (const HotExtent& e : known) {
    if (band(e) < kBands) hot.push_back(e);
  }
  std::sort(hot.begin(), hot.end(), [&](const HotExtent& a, const HotExtent& b) {
    return std::tuple(band(a), a.file, a.extent) < std::tuple(band(b), b.file, b.extent);
  });
  return hot;
}

Status Hydrator::Impl::RunHot(const std::function<bool()>& cancel) {
  const std::vector<HotExtent> hot = HotFirst(options.first);
  {
    MutexLock l(mutex);
    counts.hot_total = hot.size();
    counts.hot_done = 0;
  }
  HotPart part;
  const ScheduleFirst first;  // a block costs less here than its first reader, who waits for it
  for (const HotExtent& extent : hot) {
    if (cancel()) return Status::Error(ECANCELED);
    DrainComplete().Ignore("logged; whatever is left is in the plan");
    HydrateExtent(extent, &part).Ignore("it is in the plan as well, which reports what fails");
    MutexLock l(mutex);
    ++counts.hot_done;
  }
  return Status::Ok();
}

Status Hydrator::Impl::HydrateExtent(const HotExtent& extent, HotPart* part) {
  if (KnownPresent(extent.file)) return Status::Ok();
  DKFS_TRY_ASSIGN(InodeRef ref, inodes->Get(extent.file));
  Inode& inode = *ref;
  uint8_t shift;
  {
    SharedLock l(inode.lock);
    if (!S_ISREG(inode.state.mode)) return Status::Ok();
    shift = inode.state.block_shift;
  }
  DKFS_TRY_ASSIGN(const bool opened, OpenContent(inode));
  Status filled;
  for (const BlockRange& hot : HotBlocks(extent, shift)) {
    const Made made = Make(inode, hot.first, hot.end - hot.first);
    uint64_t bytes = 0;
    {
      ExclusiveLock l(inode.lock);
      Status done = FillHot(inode, hot, made, &bytes);
      if (filled.ok()) filled = std::move(done);
    }
    if (bytes > 0) Warm(part, extent.file, hot.first << shift, (hot.end - hot.first) << shift);
    Throttle(bytes);
  }
  if (opened) {
    ExclusiveLock l(inode.lock);
    CloseUnused(inode);
  }
  return filled;
}

void Hydrator::Impl::Warm(HotPart* part, FileId file, uint64_t offset, uint64_t bytes) {
  if (!part->warmer) part->warmer = options.start_warmer ? options.start_warmer() : nullptr;
  if (*part->warmer == nullptr) return;
  if (part->file != file) {
    auto path = store->PathOf(file);
    part->file = file;
    part->path = path.ok() ? std::move(*path) : "";
  }
  if (!part->path.empty()) (*part->warmer)->Warm(part->path, offset, bytes);
}

std::vector<Hydrator::Impl::BlockRange> Hydrator::Impl::HotBlocks(const HotExtent& extent, uint8_t block_shift) {
  constexpr int kPages = 1 << (kHotExtentShift - kHotPageShift);  // a bit each
  const uint64_t first_page = extent.extent << (kHotExtentShift - kHotPageShift);
  const auto block_of = [&](int page) {
    return (first_page + static_cast<uint64_t>(page)) << kHotPageShift >> block_shift;
  };
  std::vector<BlockRange> hot;
  for (int page = 0; page < kPages;) {
    page += std::countr_zero(extent.pages >> page);
    if (page >= kPages) break;
    const int behind = page + std::countr_one(extent.pages >> page);
    hot.push_back({block_of(page), block_of(behind - 1) + 1});
    page = behind;
  }
  return hot;
}

// The file may have become shorter, and its blocks of another size, since the extent was recorded.
Status Hydrator::Impl::FillHot(Inode& inode, const BlockRange& hot, const Made& made, uint64_t* bytes) {
  if (inode.presence != Presence::kPartial || !inode.backing.valid()) return Status::Ok();
  const uint64_t end = std::min(presence::BlocksOf(inode.state), hot.end);
  if (hot.first >= end || inode.absent_blocks.Next(hot.first, end) >= end) return Status::Ok();
  const uint64_t absent = inode.absent_blocks.count();
  Use(inode, made, Wanted::kSoon);
  Status filled = MakePresent(inode, hot.first, end - hot.first, Wanted::kSoon);
  *bytes = (absent - inode.absent_blocks.count()) << inode.state.block_shift;
  return filled;
}

Status Hydrator::Impl::RunPlan(const Plan& plan, Haste haste, const std::function<bool()>& cancel) {
  Status first;
  uint64_t failures = 0;
  for (const Item& item : plan) {
    if (cancel && cancel()) return Status::Error(ECANCELED);
    DrainComplete().Ignore("logged; whatever is left is in the plan, or in that of Finish");
    Status done = HydrateOne(item.file, haste, cancel);
    if (done.code() == ECANCELED) return done;
    if (!done.ok()) {
      if (first.ok()) first = done;
      if (!done.IsCorruption() && ++failures <= 20) {
        Log(LogLevel::kError, "hydrate_failed",
            {{"file", item.file.value},
             {"error", done.ToString()},
             {"hint", "DIR is not complete; the store is, tried again at unmount"}});
      }
    }
    MutexLock l(mutex);
    ++counts.files_done;
    counts.bytes_done += item.bytes;
  }
  Status drained = DrainComplete();
  return first.ok() ? drained : first;
}

Status Hydrator::Impl::HydrateOne(FileId file, Haste haste, const std::function<bool()>& cancel) {
  if (KnownPresent(file)) return Status::Ok();
  Result<InodeRef> ref = inodes->Get(file);
  if (!ref.ok()) return ref.code() == ENOENT || ref.code() == ESTALE ? Status::Ok() : ref.status();
  Inode& inode = **ref;
  uint32_t mode;
  {
    SharedLock l(inode.lock);
    mode = inode.state.mode;
  }
  if (S_ISDIR(mode)) return PrepareDirectoryOf(file);
  if (S_ISREG(mode)) return HydrateFile(inode, haste, cancel);
  DKFS_TRY(PrepareParents(file));
  SharedLock t(tree);
  ExclusiveLock l(inode.lock);
  return MakeSpecial(inode);
}

Result<bool> Hydrator::Impl::OpenContent(Inode& inode) {
  SharedLock t(tree);
  ExclusiveLock l(inode.lock);
  if (inode.backing.valid() || inode.state.nlink == 0) return false;
  DKFS_TRY_ASSIGN(const std::string path, store->PathOf(inode.id));
  DKFS_TRY(Prepare(inode, path));
  return true;
}

Status Hydrator::Impl::HydrateFile(Inode& inode, Haste haste, const std::function<bool()>& cancel) {
  Status opened = OpenContent(inode).status();
  if (opened.IsNotFound()) return Status::Ok();  // unlinked meanwhile
  DKFS_TRY(std::move(opened));
  Status filled = FillAll(inode, haste, cancel);
  if (filled.ok()) filled = Settle(inode.id);
  ExclusiveLock l(inode.lock);
  CloseUnused(inode);
  return filled;
}

Status Hydrator::Impl::FillAll(Inode& inode, Haste haste, const std::function<bool()>& cancel) {
  Status damage;
  uint64_t swaps_seen = swaps;
  for (uint64_t next = 0;;) {
    if (cancel && cancel()) return Status::Error(ECANCELED);
    uint64_t bytes = 0;
    bool reopen = false;
    {
      ExclusiveLock l(inode.lock);
      if (inode.presence != Presence::kPartial || inode.absent_blocks.count() == 0) return damage;
      reopen = !inode.backing.valid();
      if (reopen && inode.state.nlink == 0) return damage;
      if (!reopen) {
        const uint64_t end = presence::BlocksOf(inode.state);
        const uint64_t span = std::max<uint64_t>(1, kBackgroundSpanBytes >> inode.state.block_shift);
        DKFS_TRY_ASSIGN(next, SkipHoles(inode, inode.absent_blocks.Next(next, end), end));
        next = inode.absent_blocks.Next(next, end);
        if (next >= end) {
          NoteComplete(inode);
          if (inode.absent_blocks.count() == 0 || swaps_seen == swaps) return damage;
          swaps_seen = swaps;
          next = 0;
          continue;
        }
        const uint64_t count = std::min(span, end - next);
        bytes = count << inode.state.block_shift;
        Status made = MakePresent(inode, next, count, Wanted::kSomeday);
        if (made.IsCorruption())
          damage = made;
        else
          DKFS_TRY(std::move(made));
        next += count;
      }
    }
    if (reopen) {
      Status opened = OpenContent(inode).status();
      if (opened.IsNotFound()) return damage;
      DKFS_TRY(std::move(opened));
    }
    if (haste == Haste::kThrottled) Throttle(bytes);
    if (haste != Haste::kFull) pace.Rest(stopping);
  }
}

void Hydrator::Impl::Throttle(uint64_t bytes) {
  if (options.bytes_per_second == 0) return;
  throttle_until_ns = std::max(throttle_until_ns, MonotonicNs()) + bytes * 1'000'000'000 / options.bytes_per_second;
  constexpr uint64_t kSlack = 20'000'000;  // sleeps shorter than this are saved up
  MutexLock l(mutex);
  for (uint64_t now = MonotonicNs(); !stopping && throttle_until_ns > now + kSlack; now = MonotonicNs()) {
    wake.WaitFor(mutex, std::chrono::nanoseconds(throttle_until_ns - now));
  }
}

bool Hydrator::Impl::Stopping() {
  MutexLock l(mutex);
  return stopping;
}

void Hydrator::Impl::Run() {
  Result<Plan> plan = MakePlan();
  if (plan.ok() && RunHot([this] { return Stopping(); }).code() == ECANCELED) return;
  Status ran = plan.ok() ? RunPlan(*plan, Haste::kThrottled, [this] { return Stopping(); }) : plan.status();
  if (ran.code() == ECANCELED) return;
  if (ran.ok()) {
    Log(LogLevel::kInfo, "hydrated",
        {{"dir", backing->display()}, {"reconstructed", reconstructed.load()}, {"verified", verified.load()}});
  } else {
    Log(LogLevel::kError, "hydration_incomplete",
        {{"dir", backing->display()}, {"error", ran.ToString()}, {"hint", "DIR alone is not usable; the mount is"}});
  }
  for (;;) {
    {
      MutexLock l(mutex);
      counts.done = ran.ok() && complete.empty();
      takes_deferred = counts.done;
      WaitForWork();
      if (stopping) break;
    }
    Status drained = DrainComplete();
    if (ran.ok()) ran = drained;
    FillDeferred();
  }
  takes_deferred = false;
}

void Hydrator::Impl::WaitForWork() {
  while (!stopping && complete.empty()) {
    if (deferred.empty()) {
      wake.Wait(mutex);
      continue;
    }
    const uint64_t now = MonotonicNs(), due = DeferredDueNs();
    if (now >= due) return;
    wake.WaitFor(mutex, std::chrono::nanoseconds(due - now));
  }
}

void Hydrator::Impl::Start() {
  if (!options.background || thread.joinable()) return;
  {
    MutexLock l(mutex);
    stopping = false;
  }
  try {
    thread = std::thread([this] { Run(); });
  } catch (const std::system_error& error) {  // no thread to be had: the rest is for Finish
    refuses_deferred = true;
    Log(LogLevel::kWarn, "hydration_off",
        {{"error", error.what()}, {"hint", "raise the limit of threads (pids.max), mount again"}});
  }
}

void Hydrator::Impl::Stop() {
  {
    MutexLock l(mutex);
    stopping = true;
    wake.SignalAll();
  }
  if (thread.joinable()) thread.join();
}

HydrateProgress Hydrator::Impl::Progress() {
  HydrateProgress p;
  uint64_t started;
  {
    MutexLock l(mutex);
    p = counts;
    started = pass_started_ns;
  }
  p.blocks_reconstructed = reconstructed.load();
  p.blocks_verified = verified.load();
  p.aside_bytes = aside.bytes();
  p.aside_entries = aside.entries();
  p.deferred_bytes = deferred_bytes.load();
  // Bytes and files both take time: each counts for its share.
  const double total = static_cast<double>(p.bytes_total) + 4096.0 * static_cast<double>(p.files_total);
  const double done = static_cast<double>(p.bytes_done) + 4096.0 * static_cast<double>(p.files_done);
  if (!p.done && done > 0) {
    const double elapsed = static_cast<double>(MonotonicNs() - started) / 1e9;
    p.estimate = std::chrono::seconds(static_cast<int64_t>(elapsed * (total - done) / done) + 1);
  }
  return p;
}

}  // namespace dkfs
