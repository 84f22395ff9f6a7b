// Heat: in how many looks the pages of each extent were found written again, lately. Pure: the caller brings counts and
// time.
//
// How often counts more than how much: a look adds at most one, for 63 pages or more that were written again or became
// dirty through a mapping, and with the logarithm less for fewer. An extent filled for the first time gets a quarter at
// most. One of a log gets no more however often its file is recycled: nobody reads it but a recovery, once and from end
// to end. With an extent go the pages of it that were written again, by 64 KiB; as long as none was, all. Half is left
// after the half-life; a mount goes on with the heat that was recorded. Not thread-safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "bpf/hotness.h"
#include "store/format/hot_extents.h"

namespace dkfs {

class Heat {
 public:
  using Time = std::chrono::nanoseconds;  // monotonic
  static constexpr std::chrono::seconds kHalfLife{3600};

  // As recorded by an earlier mount. Before anything else.
  void Recall(const std::vector<HotExtent>& recorded, Time now);
  // A file that is synced every few writes, and whose writes hardly ever go back, is a log.
  static bool IsLog(const hotness_file& counts);
  // `counts` grow as long as `born` stays (see hotness.h). True: something was written since the last look.
  bool Look(FileId file, uint64_t extent, const hotness_extent& counts, Time now, bool log = false);
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
    uint64_t born = 0, pages = 0, again = 0;  // of the counts at the last look
    uint64_t hot_pages = 0;                   // a bit each; 0: not known
  };
  static double At(const Extent& extent, Time now);
  void Prune(Time now);

  std::unordered_map<Key, Extent, KeyHash> extents_;
};

}  // namespace dkfs
