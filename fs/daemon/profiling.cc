#include "fs/daemon/profiling.h"

#include <pthread.h>
#include <time.h>

#include <algorithm>
#include <system_error>
#include <utility>

#include "store/base/log.h"
#include "store/codec/codec.h"

namespace dkfs {
namespace {

constexpr size_t kMostLearned = 64;                                     // files whose costs are asked in a round
constexpr size_t kTriedBytes = 64 << 10;                                // of each
constexpr size_t kLongTriedBytes = 7 << 20, kLeastLongTried = 1 << 20;  // of streams, for long frames
constexpr size_t kFrameTriedBytes = 256 << 10;                          // a frame as packs have them
constexpr size_t kReadAtOnce = 256 << 10;                               // the file is locked for as long
constexpr std::chrono::seconds kRecordHeatEvery{60};
constexpr size_t kLeastTried = 256;   // fewer say nothing
constexpr double kTrialShare = 0.01;  // of the time between rounds, at most, for trying what packing makes of them
constexpr uint64_t kSlowTrials = 4;   // the slow level is tried in one of so many
constexpr uint64_t kIndexRowNs =
    20000;                          // of CPU behind a version: indexing and packing it (estimate, docs/profiler.md)
constexpr size_t kMostSeen = 8192;  // counts kept from round to round; beyond, they begin again

uint64_t ThreadNs() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

using Compress = Status (*)(Bytes, int, std::string*);
PackingTrial::Way TryLevel(Bytes sample, uint8_t level, Compress compress) {
  std::string packed;
  const uint64_t begin = ThreadNs();
  if (!compress(sample, level, &packed).ok()) return {1, 0};
  const auto size = static_cast<double>(sample.size());
  return {std::min(1.0, static_cast<double>(packed.size()) / size), static_cast<double>(ThreadNs() - begin) / size};
}

// The first time zstd's tables for the level may have to be made, which takes longer than a small sample.
PackingTrial::Way TryLevelWarm(Bytes sample, uint8_t level, Compress compress) {
  const PackingTrial::Way first = TryLevel(sample, level, compress);
  PackingTrial::Way way = TryLevel(sample, level, compress);
  way.ns_for_byte = std::min(way.ns_for_byte, first.ns_for_byte);
  return way;
}

}  // namespace

Profiling::Profiling(HotnessSource* hotness, FileSystem* file_system, Store* store, const ProfilingOptions& options)
    : hotness_(hotness),
      file_system_(file_system),
      store_(store),
      options_(options),
      profiler_(options.profiler),
      random_(options.shake) {}

Profiling::~Profiling() { Stop(); }

void Profiling::Start() {
  try {
    thread_ = std::thread([this] {
      pthread_setname_np(pthread_self(), "dkfs-profiler");
      Run();
    });
  } catch (const std::system_error& error) {  // no thread to be had: layouts stay as they are
    Log(LogLevel::kWarn, "profiler_off",
        {{"error", error.what()}, {"hint", "raise the limit of threads, mount again"}});
  }
}

void Profiling::Stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    wake_.SignalAll();
  }
  if (thread_.joinable()) thread_.join();
}

bool Profiling::IsStopping() const {
  MutexLock lock(mutex_);
  return stopping_;
}

void Profiling::Run() {
  heat_.Recall(store_->GetHotExtents(), Now());
  for (;;) {
    {
      MutexLock lock(mutex_);
      if (!stopping_) wake_.WaitFor(mutex_, options_.interval);
      if (stopping_) break;
    }
    Round();
  }
  LookAtExtents(Now());
  RecordHeat();
}

void Profiling::LookAtExtents(Profiler::Time now) {
  for (const FileWrites& f : hotness_->requests()->ReadFiles()) heat_.LookAtFile(f.file, f.counts);
  for (const ExtentPages& pages : hotness_->requests()->TakeRewritten()) {
    heat_.Look(pages, now);
    heated_ = true;
  }
}

void Profiling::RecordHeat() {
  if (!heated_) return;
  const Profiler::Time now = Now();
  Status put = store_->PutHotExtents(heat_.Hottest(now));
  if (!put.ok()) {
    Log(LogLevel::kWarn, "heat_not_recorded",
        {{"error", put.ToString()}, {"hint", "after a loss files are restored in an older order"}});
  }
  heated_ = false;
  heat_recorded_ = now;
}

Result<HotnessCounts> Profiling::Look() {
  MutexLock in_order(looking_);
  DKFS_TRY_ASSIGN(HotnessCounts counts, hotness_->Read());
  LookAtFiles(counts, Now());
  return counts;
}

void Profiling::Round() {
  const Profiler::Time now = Now();
  LookAtExtents(now);
  if (heat_recorded_.count() == 0 || now - heat_recorded_ >= kRecordHeatEvery) RecordHeat();
  if (!Look().ok()) return;  // of the next round, perhaps
  trial_ns_ = 0;
  for (const FileId file : TakeWritten()) {
    if (IsStopping()) return;
    Learn(file);
    if (options_.shake != 0) Shake(file);
  }
  std::vector<Profiler::Change> changes;
  if (options_.adapt) {
    MutexLock lock(mutex_);
    lent_.clear();
    changes = profiler_.Decide(now);
  }
  for (const Profiler::Change& change : changes) CarryOut(change);
}

void Profiling::LookAtFiles(const HotnessCounts& counts, Profiler::Time now) {
  const auto pages = PagesByFile(counts);
  MutexLock lock(mutex_);
  for (const FileWrites& writes : counts.files) {
    auto found = pages.find(writes.file);
    LookAt(writes, found == pages.end() ? PageWrites() : found->second, now);
  }
}

// Pages dirtied through a mapping are counted whole.
void Profiling::LookAt(const FileWrites& writes, const PageWrites& pages, Profiler::Time now) {
  if (seen_.size() >= kMostSeen && !seen_.contains(writes.file)) seen_.clear();
  Seen& seen = seen_[writes.file];
  const auto total = [](const hotness_file& f) { return uint64_t{f.bytes + (f.mapped_pages << HOTNESS_PAGE_SHIFT)}; };
  const uint64_t before = seen.counts.born == writes.counts.born ? total(seen.counts) : 0;
  seen.unlearned += total(writes.counts) - std::min(before, total(writes.counts));
  seen.counts = writes.counts;
  seen.pages = pages;
  profiler_.Look(writes.file, writes.counts, pages.pages, pages.rewritten, now);
}

// Of the others the costs are left for a later round.
std::vector<FileId> Profiling::TakeWritten() {
  MutexLock lock(mutex_);
  std::vector<std::pair<uint64_t, FileId>> written;
  for (auto& [file, seen] : seen_) {
    if (seen.unlearned > 0) written.emplace_back(std::exchange(seen.unlearned, 0), file);
  }
  std::sort(written.begin(), written.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  written.resize(std::min(written.size(), kMostLearned));
  std::vector<FileId> files;
  for (const auto& [bytes, file] : written) files.push_back(file);
  return files;
}

// The layout in force, a hint for it, and what capture has spent.
void Profiling::Learn(FileId file) {
  auto now = file_system_->LayoutOf(file);
  if (!now.ok()) {
    MutexLock lock(mutex_);
    profiler_.Forget(file);
    seen_.erase(file);
    return;
  }
  std::optional<FileLayout> hint;
  if (options_.hints != nullptr && !options_.hints->empty()) {
    if (auto path = store_->PathOf(file); path.ok()) hint = options_.hints->For(*path);
  }
  if (hint && *hint != now->layout) {
    auto set = file_system_->SetLayout(file, *hint);
    if (set.ok() && *set != now->layout) by_hint_.fetch_add(1, std::memory_order_relaxed);
    if (set.ok()) now->layout = *set;
  }
  {
    MutexLock lock(mutex_);
    profiler_.SetLayout(file, now->layout, now->resizable, hint.has_value(), now->bytes);
  }
  // Without a trial its costs say little; they are kept until there is one.
  if (!Try(file)) return;
  if (options_.adapt) TeachKind(file);
  const CaptureCosts costs = file_system_->TakeCosts(file);
  CaptureCost cost;
  cost.written = costs.written;
  cost.store = costs.recorded;
  cost.rows = costs.rows;
  cost.cpu_ns = costs.ns + costs.versions * kIndexRowNs;
  cost.hydration_bytes = costs.hydration;
  MutexLock lock(mutex_);
  profiler_.ChargeUnpacked(file, cost);
}

// A trial of the file's content when it is time for one; its kind has then shown how it is written.
bool Profiling::Try(FileId file) {
  Seen seen;
  bool stream;
  {
    MutexLock lock(mutex_);
    if (!profiler_.WantsTrial(file)) return true;
    seen = seen_[file];
    stream = profiler_.IsStream(file);
  }
  const double interval_ns = std::chrono::duration<double, std::nano>(options_.interval).count();
  if (static_cast<double>(trial_ns_) > kTrialShare * interval_ns) return false;  // in a later round
  const uint64_t begin = ThreadNs();
  const std::optional<PackingTrial> trial = TryPacking(file, seen.counts.next_offset, stream);
  trial_ns_ += ThreadNs() - begin;
  if (!trial) return false;
  MutexLock lock(mutex_);
  profiler_.SetTrial(file, *trial);
  return true;
}

void Profiling::TeachKind(FileId file) {
  std::optional<WriteContext> context;
  {
    MutexLock lock(mutex_);
    context = profiler_.ContextOfFile(file);
    if (!context || taught_[file] == context->index() + 1) return;
    if (taught_.size() > kMostSeen) taught_.clear();
    taught_[file] = context->index() + 1;
  }
  auto path = store_->PathOf(file);
  MutexLock lock(mutex_);
  if (path.ok()) kinds_.Learn(*path, *context);
}

std::vector<std::byte> Profiling::ContentBefore(FileId file, uint64_t end, size_t bytes) {
  std::vector<std::byte> content(bytes);
  uint64_t at = end == ~uint64_t{0} || end < bytes ? 0 : RoundDown(end - bytes, uint64_t{1} << HOTNESS_PAGE_SHIFT);
  size_t done = 0;
  while (done < bytes) {
    const MutableBytes piece = MutableBytes(content).subspan(done, std::min(bytes - done, kReadAtOnce));
    auto read = file_system_->Read(file, piece, at + done);
    if (!read.ok() || *read == 0) break;
    done += *read;
  }
  content.resize(done);
  return content;
}

std::optional<PackingTrial> Profiling::TryPacking(FileId file, uint64_t end, bool stream) {
  const std::vector<std::byte> sample = ContentBefore(file, end, kTriedBytes);
  if (sample.size() < kLeastTried) return std::nullopt;
  const bool slow = trials_++ % kSlowTrials == 0;
  PackingTrial trial;
  std::array<double, 10> usual{};  // by level: the share that is left without long frames, which come later in the list
  for (size_t i = 0; i < kPackings.size(); ++i) {
    const auto [level, long_frames] = kPackings[i];
    if (level == 9 && !slow) continue;
    if (long_frames) {
      if (!stream) continue;
      if (const auto way = TryLongFrames(file, end, level, usual[level])) trial.ways[i] = *way;
    } else {
      trial.ways[i] = level > 0 ? TryLevelWarm(sample, level, codec::Compress) : PackingTrial::Way{1, 0};
      usual[level] = trial.ways[i].share;
    }
  }
  return trial;
}

// What the usual frames make of it is tried on one in four of them.
std::optional<PackingTrial::Way> Profiling::TryLongFrames(FileId file, uint64_t end, uint8_t level, double usual) {
  const std::vector<std::byte> content = ContentBefore(file, end, kLongTriedBytes);
  if (content.size() < kLeastLongTried) return std::nullopt;
  double tried = 0, left = 0;
  for (size_t at = 0; at < content.size(); at += 4 * kFrameTriedBytes) {
    const Bytes frame = Bytes(content).subspan(at, std::min(kFrameTriedBytes, content.size() - at));
    const auto bytes = static_cast<double>(frame.size());
    tried += bytes;
    left += bytes * TryLevel(frame, level, codec::Compress).share;
  }
  PackingTrial::Way way = TryLevel(content, level, codec::CompressLong);
  way.share = std::min(1.0, usual * way.share * tried / left);
  return way;
}

std::optional<FileLayout> Profiling::LayoutOfNew(std::string_view path) {
  if (!options_.adapt) return std::nullopt;
  MutexLock lock(mutex_);
  const auto context = kinds_.For(path);
  if (!context) return std::nullopt;
  const Profiler::Beginning beginning = profiler_.BeginningFor(*context);
  const bool lend = beginning.tried && lent_.insert(context->index()).second;
  const auto layout = lend ? beginning.tried : beginning.best;
  if (layout) of_new_.fetch_add(1, std::memory_order_relaxed);
  return layout;
}

void Profiling::Shake(FileId file) {
  FileLayout layout;
  layout.block_shift = static_cast<uint8_t>(kMinBlockShift + random_() % (kMaxBlockShift - kMinBlockShift + 1));
  layout.policy = PolicyOf(static_cast<uint8_t>(random_()));
  file_system_->SetLayout(file, layout).status().Ignore("a layout that is refused is one more case");
}

void Profiling::CarryOut(const Profiler::Change& change) {
  const FileLayout& wanted = LayoutChoices()[change.to];
  auto set = file_system_->SetLayout(change.file, wanted);
  auto now = file_system_->LayoutOf(change.file);
  if (!set.ok() || !now.ok()) {
    Log(LogLevel::kDebug, "layout_kept", {{"file", change.file.value}, {"error", set.status().ToString()}});
  } else {
    by_profiler_.fetch_add(1, std::memory_order_relaxed);
    Log(LogLevel::kDebug, "layout", {{"file", change.file.value}, {"layout", LayoutText(*set)}});
  }
  MutexLock lock(mutex_);
  if (now.ok()) profiler_.SetLayout(change.file, now->layout, now->resizable && *set == wanted, false, now->bytes);
}

std::optional<FileProfile> Profiling::Describe(FileId file, Profiler::Time now) const {
  auto explained = profiler_.Explain(file, now);
  if (!explained) return std::nullopt;
  FileProfile out;
  out.file = file;
  out.explanation = std::move(*explained);
  out.layout_age = std::chrono::duration_cast<std::chrono::seconds>(now - out.explanation.since);
  if (auto seen = seen_.find(file); seen != seen_.end()) {
    out.counts = seen->second.counts;
    out.pages = seen->second.pages;
  }
  return out;
}

std::vector<FileProfile> Profiling::Top(size_t most) {
  Look().status().Ignore("what was seen before will do");
  std::vector<FileProfile> all, out;
  {
    MutexLock lock(mutex_);
    const Profiler::Time now = Now();
    for (const auto& [file, rate] : profiler_.ByRate(now)) {
      if (all.size() >= 2 * most) break;
      if (auto described = Describe(file, now)) all.push_back(std::move(*described));
    }
  }
  for (FileProfile& one : all) {
    auto path = store_->PathOf(one.file);
    if (!path.ok() || out.size() >= most) continue;
    one.path = std::move(*path);
    out.push_back(std::move(one));
  }
  return out;
}

Result<FileProfile> Profiling::Explain(FileId file) {
  Look().status().Ignore("what was seen before will do");
  std::optional<FileProfile> described;
  {
    MutexLock lock(mutex_);
    described = Describe(file, Now());
  }
  DKFS_TRY_ASSIGN(const std::string path, store_->PathOf(file));
  if (!described) return Status::Error(ENOENT, "/" + path + " was not written in this mount, as far as was counted");
  described->path = path;
  return std::move(*described);
}

}  // namespace dkfs
