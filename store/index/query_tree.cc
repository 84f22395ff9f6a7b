// Questions about names: lookups, listings, links, extended attributes.
#include <algorithm>

#include "store/index/index.h"
#include "store/index/rows.h"
#include "store/index/versions.h"

namespace dkfs {
namespace {

std::string EntryThing(FileId parent, EntryId entry) {
  std::string key = keys::OfFile(parent);
  PutBe(&key, entry.value);
  return key;
}

Result<EntryValue> EntryAt(const Kv& kv, FileId parent, EntryId entry, Seq at) {
  Seq seq;
  std::string value;
  DKFS_TRY(NewestVersion(kv, Family::kEntry, EntryThing(parent, entry), at, &seq, &value));
  EntryValue decoded;
  DKFS_TRY(values::Decode(AsBytes(value), &decoded));
  if (!decoded.child) return Status::Error(ENOENT);
  return decoded;
}

// What a record says of the name. Where it ends one entry and makes another, the new one counts.
const NameItem* NameIn(const std::vector<Item>& items, FileId parent, std::string_view name) {
  const NameItem* found = nullptr;
  for (const Item& item : items) {
    const auto* at = std::get_if<NameItem>(&item.body);
    if (at == nullptr || at->parent != parent || at->name != name) continue;
    if (found == nullptr || at->child) found = at;
  }
  return found;
}

bool HoldsVoid(const std::vector<Item>& items) {
  return std::any_of(items.begin(), items.end(),
                     [](const Item& item) { return std::holds_alternative<VoidItem>(item.body); });
}

// The runs of dead entries that a listing passes.
class DeadRuns {
 public:
  void Dead(const DeadEntries::Range& range, size_t entries) {
    if (length_ == 0) run_ = range;
    run_.last = range.last;
    length_ += entries;
  }
  void Alive() {
    if (length_ >= DeadEntries::kLeastRun) found_.push_back(run_);
    length_ = 0;
  }
  const std::vector<DeadEntries::Range>& found() const { return found_; }

 private:
  DeadEntries::Range run_{};
  size_t length_ = 0;
  std::vector<DeadEntries::Range> found_;
};

constexpr size_t kMostItemsLookedAt = 2000;  // some 10 us, in which nobody can append

}  // namespace

Result<std::optional<NameValue>> Index::QueuedName(FileId parent, std::string_view name) {
  size_t left = kMostItemsLookedAt;
  MutexLock lock(queue_mutex_);
  for (const Chunk* chunk : {static_cast<const Chunk*>(&queue_), applying_}) {
    if (chunk == nullptr) continue;
    for (auto record = chunk->rbegin(); record != chunk->rend(); ++record) {
      if (record->items.size() > left || record->at.kind == SegmentKind::kPack || HoldsVoid(record->items)) {
        return Status::Error(EAGAIN);
      }
      left -= record->items.size();
      if (const NameItem* item = NameIn(record->items, parent, name)) {
        return std::optional(NameValue{item->child, item->entry, item->type});
      }
    }
  }
  return std::optional<NameValue>();
}

Result<NameValue> Index::Name(FileId parent, std::string_view name, Seq at) {
  if (pending_.MayHoldName(parent, name)) {
    auto queued = at == kLatest ? QueuedName(parent, name) : Status::Error(EAGAIN);
    if (!queued.ok()) DKFS_TRY(Fresh());
    if (queued.ok() && *queued) return (*queued)->child ? Result<NameValue>(**queued) : Status::Error(ENOENT);
  }
  Seq seq;
  std::string value;
  DKFS_TRY(NewestVersion(*kv_, Family::kName, keys::NamePrefix(parent, name), at, &seq, &value));
  NameValue decoded;
  DKFS_TRY(values::Decode(AsBytes(value), &decoded));
  if (!decoded.child) return Status::Error(ENOENT);
  return decoded;
}

Status Index::Entries(FileId parent, EntryId after, Seq at, const EachEntry& each) {
  DKFS_TRY(Fresh());
  return WalkEntries(parent, after, at, each);
}

Status Index::WalkEntries(FileId parent, EntryId after, Seq at, const EachEntry& each) {
  if (after.value == UINT64_MAX) return Status::Ok();
  const DeadEntries::Known known = at == kLatest ? dead_.Of(parent) : DeadEntries::Known();
  DeadRuns runs;
  bool stopped = false;
  const auto walk = [&](uint64_t from, const std::string& end) {
    return EachNewest(*kv_, Family::kEntry, EntryThing(parent, EntryId{from}), end, at,
                      [&](std::string_view thing, Seq, std::string_view value) -> Result<bool> {
                        EntryValue entry;
                        DKFS_TRY(values::Decode(AsBytes(value), &entry));
                        if (thing.size() != 2 * sizeof(uint64_t)) return Status::Corruption("index: entry key");
                        const uint64_t id = LoadBe<uint64_t>(thing.data() + sizeof(uint64_t));
                        if (!entry.child) {
                          runs.Dead({id, id}, 1);
                          return true;
                        }
                        runs.Alive();
                        stopped = !each(EntryId{id}, entry);
                        return !stopped;
                      });
  };
  uint64_t from = after.value + 1;
  for (const DeadEntries::Range& dead : known.ranges) {
    if (dead.last < from) continue;
    if (dead.first > from) DKFS_TRY(walk(from, EntryThing(parent, EntryId{dead.first})));
    if (stopped) break;
    runs.Dead(dead, DeadEntries::kLeastRun);
    from = dead.last + 1;
  }
  if (!stopped) DKFS_TRY(walk(from, PrefixEnd(keys::OfFile(parent))));
  runs.Alive();
  if (at == kLatest && runs.found() != known.ranges) dead_.Found(parent, known, runs.found());
  return Status::Ok();
}

Status Index::FindDeadEntries() {
  for (const FileId dir : dead_.TakeDue()) {
    uint64_t alive = 0;
    DKFS_TRY(WalkEntries(dir, EntryId{}, kLatest, [&](EntryId, const EntryValue&) { return ++alive > 0; }));
    dead_.Listed(dir, alive);
  }
  return Status::Ok();
}

Result<std::vector<LinkName>> Index::Links(FileId child, Seq at, size_t most) {
  DKFS_TRY(Fresh());
  std::vector<LinkName> links;
  const std::string prefix = keys::OfFile(child);
  DKFS_TRY(EachNewest(*kv_, Family::kLink, prefix, PrefixEnd(prefix), at,
                      [&](std::string_view thing, Seq, std::string_view) -> Result<bool> {
                        if (thing.size() != 3 * sizeof(uint64_t)) return Status::Corruption("index: link key");
                        const FileId parent{LoadBe<uint64_t>(thing.data() + sizeof(uint64_t))};
                        const EntryId entry{LoadBe<uint64_t>(thing.data() + 2 * sizeof(uint64_t))};
                        Result<EntryValue> there = EntryAt(*kv_, parent, entry, at);
                        if (!there.ok() && !there.status().IsNotFound()) return there.status();
                        if (there.ok() && there->child == child)
                          links.push_back({parent, entry, std::move(there->name)});
                        return links.size() < most;
                      }));
  return links;
}

Result<std::string> Index::Xattr(FileId file, std::string_view name, Seq at) {
  if (pending_.MayHoldXattrs(file)) DKFS_TRY(Fresh());
  Seq seq;
  std::string value;
  DKFS_TRY(NewestVersion(*kv_, Family::kXattr, keys::NamePrefix(file, name), at, &seq, &value));
  if (value.empty() || value[0] != kXattrLive) return Status::Error(ENOENT);
  return value.substr(1);
}

Result<std::vector<std::pair<std::string, std::string>>> Index::Xattrs(FileId file, Seq at) {
  if (pending_.MayHoldXattrs(file)) DKFS_TRY(Fresh());
  std::vector<std::pair<std::string, std::string>> found;
  const std::string prefix = keys::OfFile(file);
  DKFS_TRY(EachNewest(*kv_, Family::kXattr, prefix, PrefixEnd(prefix), at,
                      [&](std::string_view thing, Seq, std::string_view value) -> Result<bool> {
                        if (value.empty() || value[0] != kXattrLive) return true;
                        if (thing.size() < prefix.size() + 1) return Status::Corruption("index: xattr key");
                        std::string_view name = thing.substr(prefix.size(), thing.size() - prefix.size() - 1);
                        found.emplace_back(name, value.substr(1));
                        return true;
                      }));
  return found;
}

}  // namespace dkfs
