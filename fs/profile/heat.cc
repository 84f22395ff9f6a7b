#include "fs/profile/heat.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace dkfs {
namespace {

static_assert(kHotExtentShift == HOTNESS_EXTENT_SHIFT && kHotPageShift == HOTNESS_PAGE_SHIFT);

constexpr size_t kMostExtents = 2 * kMaxHotExtents;  // kept in memory; beyond, the coldest half goes
constexpr size_t kMostFiles = 2 * HOTNESS_MAX_FILES;
constexpr double kScale = 64;     // of recorded heat: the least that counts is one
constexpr double kMostAgain = 3;  // log2: what comes beyond in one look adds nothing
// Of a log. PostgreSQL's goes back once for each file of 16 MiB that it recycles, by some thousand writes, and is
// synced four times in it even where no transaction ends. A table is synced once for each pass over it, at a
// checkpoint.
constexpr uint64_t kLeastWrites = 32;
constexpr uint64_t kLeastWritesForEachBack = 32;
constexpr uint64_t kLeastSyncsForEachBack = 2;

bool IsLog(const hotness_file& before, const hotness_file& now) {
  const uint64_t writes = now.writes - before.writes, back = now.back - before.back, syncs = now.fsyncs - before.fsyncs;
  const uint64_t moved = now.next_offset > before.next_offset ? now.next_offset - before.next_offset
                                                              : before.next_offset - now.next_offset;
  const bool moves_on = moved > HOTNESS_TAIL || back > 0;  // a whole pass ends where it began
  return moves_on && back <= writes / kLeastWritesForEachBack && syncs >= kLeastSyncsForEachBack * (back + 1);
}

}  // namespace

double Heat::At(const Extent& extent, Time now) {
  const double passed = std::chrono::duration<double>(std::max(now - extent.at, Time(0))) / kHalfLife;
  return extent.heat * std::exp2(-passed);
}

void Heat::Recall(const std::vector<HotExtent>& recorded, Time now) {
  for (const HotExtent& e : recorded) {
    extents_[{e.file, e.extent}] = {.heat = static_cast<double>(e.heat) / kScale, .at = now, .twice = e.pages};
  }
}

void Heat::LookAtFile(FileId file, const hotness_file& counts) {
  if (files_.size() >= kMostFiles && !files_.contains(file)) files_.clear();
  File& known = files_[file];
  if (known.counts.born != counts.born) {
    known.counts = {};
    known.counts.born = counts.born;
  }
  if (counts.writes - known.counts.writes < kLeastWrites) return;
  known.log = IsLog(known.counts, counts);
  known.counts = counts;
}

void Heat::Look(const ExtentPages& pages, Time now) {
  const Key key{pages.file, pages.extent};
  if (extents_.size() >= kMostExtents && !extents_.contains(key)) Prune(now);
  Extent& extent = extents_[key];
  const double added = std::log2(1.0 + std::popcount(pages.pages)) / kMostAgain;
  extent.heat = At(extent, now) + std::min(added, 1.0);
  extent.at = now;
  extent.twice |= extent.once & pages.pages;
  extent.once |= pages.pages;
}

std::vector<HotExtent> Heat::Hottest(Time now) const {
  std::vector<HotExtent> out;
  out.reserve(extents_.size());
  for (const auto& [key, extent] : extents_) {
    const auto file = files_.find(key.file);
    if (file != files_.end() && file->second.log) continue;
    const double heat = At(extent, now) * kScale;
    const uint64_t pages = extent.twice != 0 ? extent.twice : extent.once;
    if (heat >= 1) out.push_back({key.file, key.extent, static_cast<uint64_t>(std::min(heat, 1e18)), pages});
  }
  const auto hotter = [](const HotExtent& a, const HotExtent& b) {
    if (a.heat != b.heat) return a.heat > b.heat;
    return a.file != b.file ? a.file < b.file : a.extent < b.extent;
  };
  std::sort(out.begin(), out.end(), hotter);
  out.resize(std::min(out.size(), kMaxHotExtents));
  return out;
}

void Heat::Prune(Time now) {
  std::vector<std::pair<double, Key>> all;
  all.reserve(extents_.size());
  for (const auto& [key, extent] : extents_) all.emplace_back(At(extent, now), key);
  const auto middle = all.begin() + static_cast<ptrdiff_t>(all.size() / 2);
  std::nth_element(all.begin(), middle, all.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  for (auto cold = all.begin(); cold != middle; ++cold) extents_.erase(cold->second);
}

}  // namespace dkfs
