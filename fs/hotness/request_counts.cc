#include "fs/hotness/request_counts.h"

#include <time.h>

#include <algorithm>
#include <utility>

namespace dkfs {
namespace {

// To the tick: for the write path the cheapest clock there is.
uint64_t NowNs() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

uint64_t HashOf(uint64_t file, uint64_t extent) {
  uint64_t h = (file * 0x9E3779B97F4A7C15ull) ^ (extent * 0xC2B2AE3D27D4EB4Full);
  h ^= h >> 29;
  return h * 0xBF58476D1CE4E5B9ull;
}

// A table of kSets sets of four; the entry of a set that was used longest ago makes room.
template <class Value, size_t kSets>
class SetTable {
 public:
  struct Slot {
    uint64_t file = 0;  // 0: free
    uint64_t extent = 0;
    uint64_t used = 0;
    Value counts{};
  };

  Value& Get(uint64_t file, uint64_t extent, uint64_t hash, __u64* made) {
    Slot* set = &slots_[(hash >> 32) % kSets * kWays];
    Slot* oldest = set;
    for (Slot* slot = set; slot != set + kWays; ++slot) {
      if (slot->file == file && slot->extent == extent) {
        slot->used = ++clock_;
        return slot->counts;
      }
      if (slot->used < oldest->used) oldest = slot;
    }
    *oldest = {file, extent, ++clock_, {}};
    oldest->counts.born = NowNs();
    ++*made;
    return oldest->counts;
  }
  template <class Each>
  void ForEach(Each&& each) {
    for (Slot& slot : slots_) {
      if (slot.file != 0) each(slot);
    }
  }

 private:
  static constexpr size_t kWays = 4;
  uint64_t clock_ = 0;
  std::array<Slot, kSets * kWays> slots_;
};

struct ExtentCounts : hotness_extent {
  uint64_t again_lately = 0;  // pages, until they are taken
};

}  // namespace

struct alignas(64) RequestCounts::Shard {
  Mutex mutex;
  SetTable<hotness_file, HOTNESS_MAX_FILES / kShards / 4> files GUARDED_BY(mutex);
  SetTable<ExtentCounts, HOTNESS_MAX_EXTENTS / kShards / 4> extents GUARDED_BY(mutex);
  hotness_totals totals GUARDED_BY(mutex){};
};

RequestCounts::RequestCounts() : shards_(std::make_unique<std::array<Shard, kShards>>()) {}
RequestCounts::~RequestCounts() = default;

template <class Body>
void RequestCounts::WithShard(uint64_t hash, Body&& body) {
  Shard& shard = (*shards_)[hash >> 58];
  if (!shard.mutex.try_lock()) {
    busy_.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  body(shard);
  shard.mutex.unlock();
}

void RequestCounts::CountWrite(FileId file, uint64_t offset, uint64_t size, bool from_cache) {
  if (size == 0) return;
  const uint64_t hash = HashOf(file.value, 0);
  WithShard(hash, [&](Shard& shard) NO_THREAD_SAFETY_ANALYSIS {
    hotness_file& counts = shard.files.Get(file.value, 0, hash, &shard.totals.files_made);
    ++shard.totals.events;
    ++shard.totals.writes;
    shard.totals.bytes += size;
    ++counts.writes;
    counts.bytes += size;
    if (counts.writes > 1 && counts.next_offset == offset) ++counts.sequential;
    if (counts.writes > 1 && offset + HOTNESS_TAIL < counts.next_offset) ++counts.back;
    counts.next_offset = offset + size;
    ++counts.sizes[hotness_size_class(size)];
    if (from_cache) counts.handed_over_bytes += size;
  });
  const uint64_t end = offset + size, last = (end - 1) >> HOTNESS_EXTENT_SHIFT;
  for (uint64_t extent = offset >> HOTNESS_EXTENT_SHIFT; extent <= last; ++extent) {
    CountExtent(file, extent, offset, end);
  }
}

void RequestCounts::CountExtent(FileId file, uint64_t extent, uint64_t offset, uint64_t end) {
  const uint64_t hash = HashOf(file.value, extent + 1);
  WithShard(hash, [&](Shard& shard) NO_THREAD_SAFETY_ANALYSIS {
    ExtentCounts& counts = shard.extents.Get(file.value, extent, hash, &shard.totals.extents_made);
    const uint64_t start = extent << HOTNESS_EXTENT_SHIFT, stop = start + (1ull << HOTNESS_EXTENT_SHIFT);
    const uint64_t pages = hotness_pages_of(extent, offset, end);
    ++counts.writes;
    counts.bytes += std::min(end, stop) - std::max(offset, start);
    counts.pages += hotness_bits(pages);
    const uint64_t again = pages & counts.touched;
    counts.rewritten += hotness_bits(again);
    counts.again |= again;
    counts.again_lately |= again;
    counts.touched |= pages;
  });
}

void RequestCounts::CountFsync(FileId file) {
  const uint64_t hash = HashOf(file.value, 0);
  WithShard(hash, [&](Shard& shard) NO_THREAD_SAFETY_ANALYSIS {
    ++shard.totals.events;
    ++shard.files.Get(file.value, 0, hash, &shard.totals.files_made).fsyncs;
  });
}

Result<HotnessCounts> RequestCounts::Read() const {
  HotnessCounts out;
  out.files = ReadFiles();
  for (Shard& shard : *shards_) {
    MutexLock lock(shard.mutex);
    shard.extents.ForEach([&](const auto& slot) {
      out.extents.push_back({FileId(slot.file), slot.extent, slot.counts});
    });
  }
  return out;
}

std::vector<FileWrites> RequestCounts::ReadFiles() const {
  std::vector<FileWrites> out;
  for (Shard& shard : *shards_) {
    MutexLock lock(shard.mutex);
    shard.files.ForEach([&](const auto& slot) { out.push_back({FileId(slot.file), slot.counts}); });
  }
  return out;
}

std::vector<ExtentPages> RequestCounts::TakeRewritten() {
  std::vector<ExtentPages> out;
  for (Shard& shard : *shards_) {
    MutexLock lock(shard.mutex);
    shard.extents.ForEach([&](auto& slot) {
      const uint64_t pages = std::exchange(slot.counts.again_lately, 0);
      if (pages != 0) out.push_back({FileId(slot.file), slot.extent, pages});
    });
  }
  return out;
}

HotnessStatus RequestCounts::status() const {
  HotnessStatus out;
  out.source = "fuse";
  for (Shard& shard : *shards_) {
    MutexLock lock(shard.mutex);
    out.totals.events += shard.totals.events;
    out.totals.writes += shard.totals.writes;
    out.totals.bytes += shard.totals.bytes;
    out.totals.files_made += shard.totals.files_made;
    out.totals.extents_made += shard.totals.extents_made;
    shard.files.ForEach([&](const auto&) { ++out.files; });
    shard.extents.ForEach([&](const auto&) { ++out.extents; });
  }
  out.totals.drops = busy_.load(std::memory_order_relaxed);
  out.evicted = out.totals.files_made - out.files + out.totals.extents_made - out.extents;
  return out;
}

}  // namespace dkfs
