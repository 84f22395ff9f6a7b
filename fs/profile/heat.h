// Heat: in how many looks the pages of each extent were found written again, lately. Pure: the caller brings pages and
// time.
//
// How often counts more than how much: a look adds at most one, for seven pages or more that were written again, and
// with the logarithm less for fewer. What was written once has no heat, and no extent of a log has any however often
// its file is recycled: nobody reads it but a recovery, once and from end to end. With an extent go the pages that were
// found written again in more than one look, or as long as none was, in one. Half is left after the half-life; a mount
// goes on with the heat that was recorded. Not thread-safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "fs/hotness/request_counts.h"
#include "store/format/hot_extents.h"

namespace dkfs {

class Heat {
 public:
  using Time = std::chrono::nanoseconds;  // monotonic
  static constexpr std::chrono::seconds kHalfLife{3600};

  // As recorded by an earlier mount. Before anything else.
  void Recall(const std::vector<HotExtent>& recorded, Time now);
  // `counts` grow as long as `born` stays (see hotness.h). A file is a log as long as its writes, of which 32 are
  // looked at at least, hardly ever go back, it is synced more often than they do, and they move on.
  void LookAtFile(FileId file, const hotness_file& counts);
  // What was written again since the last look.
  void Look(const ExtentPages& pages, Time now);
  // The hottest kMaxHotExtents, hottest first; those that have cooled to nothing are left out.
  std::vector<HotExtent> Hottest(Time now) const;

 private:
  struct Key {
    FileId file;
    uint64_t extent;
    friend bool operator==(const Key&, const Key&) = default;
  };
  struct KeyHash {
    size_t operator()(const Key& k) const {
      return static_cast<size_t>((k.file.value * 0x9e3779b97f4a7c15u) ^ (k.extent * 0xc2b2ae3d27d4eb4fu));
    }
  };
  struct Extent {
    double heat = 0;
    Time at{0};
    uint64_t once = 0, twice = 0;  // pages that were found written again: in a look, in two or more
  };
  struct File {
    hotness_file counts{};  // when it was decided last
    bool log = false;
  };
  static double At(const Extent& extent, Time now);
  void Prune(Time now);

  std::unordered_map<Key, Extent, KeyHash> extents_;
  std::unordered_map<FileId, File> files_;
};

}  // namespace dkfs
