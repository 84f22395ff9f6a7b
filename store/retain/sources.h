// The segments one pass takes the place of.
#pragma once

#include <algorithm>
#include <set>
#include <vector>

#include "store/journal/journal.h"

namespace dkfs::retain {

struct Sources {
  std::vector<SegmentInfo> segments;  // oldest first
  std::set<SegmentId> damaged;        // of those: something in it could not be carried over, so it stays

  bool Contains(SegmentId id) const {
    return std::any_of(segments.begin(), segments.end(), [&](const SegmentInfo& s) { return s.id == id; });
  }
  // Those that can be deleted once the pack is published.
  std::vector<SegmentId> Replaced() const {
    std::vector<SegmentId> ids;
    for (const SegmentInfo& s : segments) {
      if (!damaged.contains(s.id)) ids.push_back(s.id);
    }
    return ids;
  }
};

}  // namespace dkfs::retain
