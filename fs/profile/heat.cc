#include "fs/profile/heat.h"

#include <algorithm>
#include <cmath>

namespace dkfs {
namespace {

static_assert(kHotExtentShift == HOTNESS_EXTENT_SHIFT && kHotPageShift == HOTNESS_PAGE_SHIFT);

constexpr size_t kMostExtents = 2 * kMaxHotExtents;  // kept in memory; beyond, the coldest half goes
constexpr double kScale = 64;                        // of recorded heat: the least that counts is one
constexpr double kMostAgain = 6;                     // log2: what comes beyond in one look adds nothing
constexpr double kFirstShare = 0.25;
// Of a log. PostgreSQL's goes back once for each file of 16 MiB that it recycles, by some thousand writes; one event
// may stand for 16.
constexpr uint64_t kLeastWrites = 32;
constexpr uint64_t kMostWritesForASync = 16;
constexpr uint64_t kLeastWritesForEachBack = 32;

// Pages that are written seldom are seen by chance, as only a part of what happens is looked at: what lies beside one
// that was seen is taken to be as hot. 0: none was seen.
uint64_t WithNeighbours(uint64_t pages) {
  constexpr int kTogether = 16;
  constexpr uint64_t kGroup = (uint64_t{1} << kTogether) - 1;
  uint64_t out = 0;
  for (int at = 0; at < HOTNESS_EXTENT_PAGES; at += kTogether) {
    if ((pages >> at & kGroup) != 0) out |= kGroup << at;
  }
  return out;
}

double Added(uint64_t pages, uint64_t again) {
  const double first = std::min(static_cast<double>(pages) / HOTNESS_EXTENT_PAGES, 1.0) * kFirstShare;
  return std::max(first, std::min(std::log2(1.0 + static_cast<double>(again)) / kMostAgain, 1.0));
}

}  // namespace

double Heat::At(const Extent& extent, Time now) {
  const double passed = std::chrono::duration<double>(std::max(now - extent.at, Time(0))) / kHalfLife;
  return extent.heat * std::exp2(-passed);
}

void Heat::Recall(const std::vector<HotExtent>& recorded, Time now) {
  for (const HotExtent& e : recorded) {
    extents_[{e.file, e.extent}] = {.heat = static_cast<double>(e.heat) / kScale, .at = now, .hot_pages = e.pages};
  }
}

bool Heat::IsLog(const hotness_file& counts) {
  return counts.writes >= kLeastWrites && counts.fsyncs >= counts.writes / kMostWritesForASync &&
         counts.back <= counts.writes / kLeastWritesForEachBack;
}

bool Heat::Look(FileId file, uint64_t extent, const hotness_extent& counts, Time now, bool log) {
  if (extents_.size() >= kMostExtents && !extents_.contains({file, extent})) Prune(now);
  Extent& seen = extents_[{file, extent}];
  const uint64_t again = counts.rewritten + counts.mapped_pages;
  const bool grows = seen.born == counts.born && counts.pages >= seen.pages && again >= seen.again;
  const Extent before = grows ? seen : Extent();
  seen.born = counts.born;
  seen.pages = counts.pages;
  seen.again = again;
  if (!log) seen.hot_pages |= counts.again;
  if (counts.pages == before.pages && again == before.again) return false;
  const double was = At(seen, now);
  seen.heat = log ? std::max(was, Added(counts.pages - before.pages, 0))
                  : was + Added(counts.pages - before.pages, again - before.again);
  seen.at = now;
  return true;
}

std::vector<HotExtent> Heat::Hottest(Time now) const {
  std::vector<HotExtent> out;
  out.reserve(extents_.size());
  for (const auto& [key, extent] : extents_) {
    const double heat = At(extent, now) * kScale;
    const uint64_t pages = extent.hot_pages == 0 ? ~uint64_t{0} : WithNeighbours(extent.hot_pages);
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
