#include "store/replay/unit_cache.h"

#include <algorithm>

namespace dkfs {

UnitCache::Ref UnitCache::Find(const Location& where) {
  MutexLock lock(mutex_);
  const auto found =
      std::find_if(entries_.begin(), entries_.end(), [&](const Entry& entry) { return entry.where == where; });
  if (found == entries_.end()) return nullptr;
  entries_.splice(entries_.begin(), entries_, found);
  return entries_.front().unit;
}

void UnitCache::Insert(const Location& where, Ref unit) {
  MutexLock lock(mutex_);
  entries_.push_front({where, std::move(unit)});
  if (entries_.size() > kMost) entries_.pop_back();
}

}  // namespace dkfs
