// Profiling: what is counted -> the profiler -> layouts in force.
//
// One thread looks at the counts once in an interval, charges the profiler with what capture has spent since, and
// carries out what it decides (where the mount adapts). It records in the store which extents are hot, once in a minute
// and at the end. A file that a hint names has that layout and no other. No
// request waits for it, and an error only leaves a layout as it is. Thread-safe.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "fs/hotness/hotness_source.h"
#include "fs/ops/file_system.h"
#include "fs/profile/heat.h"
#include "fs/profile/hints.h"
#include "fs/profile/kinds.h"
#include "fs/profile/profiler.h"
#include "store/base/clock.h"
#include "store/base/mutex.h"

namespace dkfs {

struct ProfilingOptions {
  ProfilerOptions profiler;
  bool adapt = false;                  // carry decisions out; otherwise they are only learned from
  const Hints* hints = nullptr;        // borrowed; may be null
  std::function<uint64_t()> clock_ns;  // monotonic
  uint64_t shake = 0;                  // tests: a seed; every file that was written gets any layout in every round
  std::chrono::milliseconds interval{5000};  // of real time
};

// A file as `dkfsctl top` and `explain` show it.
struct FileProfile {
  FileId file;
  std::string path;  // under the mount point, without a leading '/'
  hotness_file counts{};
  PageWrites pages;
  Profiler::Explanation explanation;
  std::chrono::seconds layout_age{0};
};

// How many layouts other than the one before were given, since the mount.
struct LayoutChanges {
  uint64_t by_profiler = 0, by_hint = 0;
  uint64_t of_new = 0;  // new files that began with what their kind had taught
};

class Profiling {
 public:
  // Borrows everything; all of one mount.
  Profiling(HotnessSource* hotness, FileSystem* file_system, Store* store, const ProfilingOptions& options);
  ~Profiling();
  void Start();  // the thread; not before the mount is ready
  void Stop();

  // Hottest first, at most `most`, those that still have a name.
  std::vector<FileProfile> Top(size_t most) EXCLUDES(mutex_);
  // ENOENT: the file was not seen written in this mount.
  Result<FileProfile> Explain(FileId file) EXCLUDES(mutex_);
  bool adapts() const { return options_.adapt; }
  // For a file that is made at this path: what files of its kind have taught. nullopt: the default.
  std::optional<FileLayout> LayoutOfNew(std::string_view path) EXCLUDES(mutex_);
  LayoutChanges changes() const { return {by_profiler_.load(), by_hint_.load(), of_new_.load()}; }

 private:
  struct Seen {
    hotness_file counts{};
    PageWrites pages;
    uint64_t unlearned = 0;  // bytes written since its costs were asked last
  };
  void Run();
  bool IsStopping() const EXCLUDES(mutex_);
  void Round() EXCLUDES(mutex_);
  // At everything that is counted. Whoever looks later sees no less: counts never seem to go back.
  Result<HotnessCounts> Look() EXCLUDES(looking_, mutex_);
  void LookAtFiles(const HotnessCounts& counts, Profiler::Time now) EXCLUDES(mutex_);
  void LookAtExtents(Profiler::Time now);
  void RecordHeat();
  void LookAt(const FileWrites& writes, const PageWrites& pages, Profiler::Time now) REQUIRES(mutex_);
  // What was written most since it was learned from.
  std::vector<FileId> TakeWritten() EXCLUDES(mutex_);
  void Learn(FileId file) EXCLUDES(mutex_);
  // Whether there is a trial of the file that is new enough, perhaps now.
  bool Try(FileId file) EXCLUDES(mutex_);
  void TeachKind(FileId file) EXCLUDES(mutex_);
  // What packing makes of the bytes before the end of the last write. nullopt: they could not be read.
  std::optional<PackingTrial> TryPacking(FileId file, uint64_t end, bool stream);
  // `usual`: the share that other frames leave at this level. nullopt: the file is too short to tell.
  std::optional<PackingTrial::Way> TryLongFrames(FileId file, uint64_t end, uint8_t level, double usual);
  // What a file holds before `end`, at most `bytes` of it.
  std::vector<std::byte> ContentBefore(FileId file, uint64_t end, size_t bytes);
  void Shake(FileId file);
  void CarryOut(const Profiler::Change& change) EXCLUDES(mutex_);
  Profiler::Time Now() const { return Profiler::Time(options_.clock_ns()); }
  std::optional<FileProfile> Describe(FileId file, Profiler::Time now) const REQUIRES(mutex_);

  HotnessSource* const hotness_;
  FileSystem* const file_system_;
  Store* const store_;
  const ProfilingOptions options_;
  Mutex looking_;  // taken before mutex_
  mutable Mutex mutex_;
  CondVar wake_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  Profiler profiler_ GUARDED_BY(mutex_);
  std::unordered_map<FileId, Seen> seen_ GUARDED_BY(mutex_);
  Kinds kinds_ GUARDED_BY(mutex_);
  std::unordered_map<FileId, uint32_t> taught_ GUARDED_BY(mutex_);  // the context's index and 1
  std::set<uint32_t> lent_ GUARDED_BY(mutex_);  // contexts of which a new file tries a layout, in this round
  std::atomic<uint64_t> by_profiler_{0}, by_hint_{0}, of_new_{0};
  // Of the thread alone:
  std::mt19937_64 random_;
  uint64_t trials_ = 0, trial_ns_ = 0;  // so far, and in this round
  Heat heat_;
  bool heated_ = false;              // since it was recorded
  Profiler::Time heat_recorded_{0};  // 0: never
  std::thread thread_;
};

}  // namespace dkfs
