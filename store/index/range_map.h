// RangeMap: the ranges of one layout of a file at a moment, put together so that a question about a block takes one
// search, however many there are. A file whose pages are punched out one by one has as many as pages.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <vector>

#include "store/base/mutex.h"
#include "store/format/ids.h"

namespace dkfs {

// Immutable once made.
class RangeMap {
 public:
  struct Row {
    Seq seq;
    uint64_t first, end;  // whole blocks [first, end)
  };
  // From rows with the newest first. `rest`: Seq of the newest row that was left out, 0 when all are here.
  RangeMap(const std::vector<Row>& rows, Seq rest);
  Seq rest() const { return rest_; }
  // Seq of the newest row after `after` that covers the block; 0 when none does, nullopt when that is for the rest to
  // say.
  std::optional<Seq> NewestAfter(uint64_t block, Seq after) const;
  // First block of [block, end) that none covers; `end` when there is no such.
  uint64_t FirstUncovered(uint64_t block, uint64_t end) const;

 private:
  const Row* At(uint64_t block) const;
  const Seq rest_;
  std::vector<Row> pieces_;  // disjoint, in order
};

// The maps asked for last. Thread-safe. A map is right until a range of its time comes to the file, or a record goes or
// is packed; whoever applies such a record says so after its rows are there and before anybody may count on them. (A
// row that retention drops hides nothing, so a map that still has it says the same.)
class RangeMaps {
 public:
  static constexpr size_t kMostMaps = 4;

  // Null: not known.
  std::shared_ptr<const RangeMap> Find(FileId file, LayoutId layout, Seq at);
  // The caller is going to read the rows. Keep takes what it made of them, unless that is forgotten meanwhile.
  uint64_t Begin(FileId file, LayoutId layout, Seq at);
  void Keep(uint64_t begun, std::shared_ptr<const RangeMap> map);
  void Forget(FileId file, Seq from);  // the maps of `from` and later
  void ForgetAll();

 private:
  struct Known {
    FileId file;
    LayoutId layout;
    Seq at;
    uint64_t number;
    std::shared_ptr<const RangeMap> map;  // null: begun
  };
  Mutex mutex_;
  std::list<Known> known_ GUARDED_BY(mutex_);  // asked for last in front
  uint64_t last_number_ GUARDED_BY(mutex_) = 0;
};

}  // namespace dkfs
