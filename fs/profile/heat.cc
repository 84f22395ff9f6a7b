#include "fs/profile/heat.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace dkfs {
namespace {

static_assert(kHotExtentShift == HOTNESS_EXTENT_SHIFT && kHotPageShift == HOTNESS_PAGE_SHIFT);

constexpr size_t kMostExtents = 2 * kMaxHotExtents;  // kept in memory; beyond, the coldest half goes
constexpr double kScale = 64;                        // of recorded heat: the least that counts is one
constexpr double kMostAgain = 3;                     // log2: what comes beyond in one look adds nothing
constexpr double kFirstShare = 0.25;
// Of a log. PostgreSQL's goes back once for each file of 16 MiB that it recycles, by some thousand writes, and is
// synced four times in it even where no transaction ends. A table is synced once for each pass over it, at a
// checkpoint.
constexpr uint64_t kLeastWrites = 32;
constexpr uint64_t kLeastWritesForEachBack = 32;
constexpr uint64_t kLeastSyncsForEachBack = 2;

double Added(int first, int again) {
  return std::max(kFirstShare * first / HOTNESS_EXTENT_PAGES, std::min(std::log2(1.0 + again) / kMostAgain, 1.0));
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

bool Heat::IsLog(const hotness_file& counts) {
  return counts.writes >= kLeastWrites && counts.back <= counts.writes / kLeastWritesForEachBack &&
         counts.fsyncs >= kLeastSyncsForEachBack * (counts.back + 1);
}

void Heat::Look(const ExtentPages& pages, Time now) {
  const Key key{pages.file, pages.extent};
  if (extents_.size() >= kMostExtents && !extents_.contains(key)) Prune(now);
  Extent& extent = extents_[key];
  extent.heat = At(extent, now) + Added(std::popcount(pages.first), std::popcount(pages.again));
  extent.at = now;
  extent.twice |= extent.once & pages.again;
  extent.once |= pages.again;
}

std::vector<HotExtent> Heat::Hottest(Time now) const {
  std::vector<HotExtent> out;
  out.reserve(extents_.size());
  for (const auto& [key, extent] : extents_) {
    double heat = At(extent, now) * kScale;
    if (logs_.contains(key.file)) heat = std::min(heat, kFirstShare * kScale);
    const uint64_t known = extent.twice != 0 ? extent.twice : extent.once;
    const uint64_t pages = known == 0 ? ~uint64_t{0} : known;
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
