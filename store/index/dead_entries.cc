#include "store/index/dead_entries.h"

#include <algorithm>
#include <utility>

namespace dkfs {
namespace {

constexpr size_t kMostCounts = 4096;  // directories; beyond, they are counted anew

}  // namespace

DeadEntries::Known DeadEntries::Of(FileId parent) const {
  MutexLock lock(mutex_);
  auto it = ranges_.find(parent);
  return {it == ranges_.end() ? std::vector<Range>() : it->second, age_};
}

void DeadEntries::Found(FileId parent, const Known& known, const std::vector<Range>& runs) {
  MutexLock lock(mutex_);
  if (known.age != age_) return;
  if (range_count_ + runs.size() > kMostRanges) {
    ranges_.clear();
    range_count_ = 0;
    if (runs.size() > kMostRanges) return;
  }
  std::vector<Range>& ranges = ranges_[parent];
  range_count_ -= ranges.size();
  for (const Range& run : runs) {
    const auto begin = std::lower_bound(ranges.begin(), ranges.end(), run.first,
                                        [](const Range& range, uint64_t first) { return range.last < first; });
    auto end = begin;
    Range joined = run;
    for (; end != ranges.end() && end->first <= run.last; ++end) {
      joined = {std::min(joined.first, end->first), std::max(joined.last, end->last)};
    }
    if (end - begin == 1 && *begin == joined) continue;
    ranges.insert(ranges.erase(begin, end), joined);
  }
  range_count_ += ranges.size();
}

void DeadEntries::Listed(FileId parent, uint64_t alive) {
  MutexLock lock(mutex_);
  if (auto it = counts_.find(parent); it != counts_.end()) it->second.due_at = std::max(kEndedForListing, alive);
}

void DeadEntries::Forget() {
  MutexLock lock(mutex_);
  ranges_.clear();
  range_count_ = 0;
  ++age_;
}

void DeadEntries::Ended(FileId parent) {
  MutexLock lock(mutex_);
  if (counts_.size() >= kMostCounts && !counts_.contains(parent)) counts_.clear();
  Count& count = counts_[parent];
  if (++count.ended == count.due_at) due_.push_back(parent);
}

std::vector<FileId> DeadEntries::TakeDue() {
  MutexLock lock(mutex_);
  for (const FileId parent : due_) counts_[parent].ended = 0;
  return std::exchange(due_, {});
}

}  // namespace dkfs
