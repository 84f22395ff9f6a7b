// UnitCache: the units decoded last, so that one which stands on units decodes each of those once and not for each of
// their blocks, and neighbours in a file share what they have in common. Thread-safe.
#pragma once

#include <list>
#include <map>
#include <memory>
#include <vector>

#include "store/base/bytes.h"
#include "store/base/mutex.h"
#include "store/format/keys.h"

namespace dkfs {

struct DecodedUnit {
  uint64_t first = 0;  // byte of its file
  std::vector<std::byte> bytes;
};

class UnitCache {
 public:
  // A unit has at most 1 MiB and may be as small as a block: a region reaches into three units or into hundreds, and as
  // many more for each depth below.
  static constexpr size_t kMostBytes = 16 << 20, kMostUnits = 4096;

  using Ref = std::shared_ptr<const DecodedUnit>;
  Ref Find(const Location& where) EXCLUDES(mutex_);  // null: it is not there
  // One that is there already stays as it is.
  void Insert(const Location& where, Ref unit) EXCLUDES(mutex_);

 private:
  struct Entry {
    Location where;
    Ref unit;
  };
  using Entries = std::list<Entry>;
  Mutex mutex_;
  Entries entries_ GUARDED_BY(mutex_);  // used last first
  std::map<Location, Entries::iterator> by_location_ GUARDED_BY(mutex_);
  size_t bytes_ GUARDED_BY(mutex_) = 0;
};

}  // namespace dkfs
