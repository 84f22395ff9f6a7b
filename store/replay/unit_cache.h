// UnitCache: the units decoded last, so that one which stands on units decodes each of those once and not for each of
// their blocks, and neighbours in a file share what they have in common. Thread-safe.
#pragma once

#include <list>
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
  using Ref = std::shared_ptr<const DecodedUnit>;
  Ref Find(const Location& where);  // null: it is not there
  void Insert(const Location& where, Ref unit);

 private:
  // At most 1 MiB each. A region reaches into three units, and one more for each depth below.
  static constexpr size_t kMost = 16;
  struct Entry {
    Location where;
    Ref unit;
  };
  Mutex mutex_;
  std::list<Entry> entries_ GUARDED_BY(mutex_);  // used last first
};

}  // namespace dkfs
