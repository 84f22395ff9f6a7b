#include "store/replay/unit_cache.h"

namespace dkfs {

UnitCache::Ref UnitCache::Find(const Location& where) {
  MutexLock lock(mutex_);
  const auto found = by_location_.find(where);
  if (found == by_location_.end()) return nullptr;
  entries_.splice(entries_.begin(), entries_, found->second);
  return entries_.front().unit;
}

void UnitCache::Insert(const Location& where, Ref unit) {
  MutexLock lock(mutex_);
  const auto [at, is_new] = by_location_.try_emplace(where);
  if (!is_new) return;
  bytes_ += unit->bytes.size();
  entries_.push_front({where, std::move(unit)});
  at->second = entries_.begin();
  while (entries_.size() > 1 && (bytes_ > kMostBytes || entries_.size() > kMostUnits)) {
    bytes_ -= entries_.back().unit->bytes.size();
    by_location_.erase(entries_.back().where);
    entries_.pop_back();
  }
}

}  // namespace dkfs
