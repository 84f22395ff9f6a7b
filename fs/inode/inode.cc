#include "fs/inode/inode.h"

#include <algorithm>

namespace dkfs {

InodeRef& InodeRef::operator=(InodeRef&& other) noexcept {
  if (this != &other) {
    reset();
    table_ = other.table_;
    inode_ = std::exchange(other.inode_, nullptr);
  }
  return *this;
}

void InodeRef::reset() {
  if (Inode* inode = std::exchange(inode_, nullptr)) table_->Release(inode);
}

InodeTable::~InodeTable() = default;

void Inode::SetHint(FileId parent, std::string_view name) {
  MutexLock l(hint_mutex);
  if (hint_parent == parent && hint_name == name) return;
  hint_parent = parent;
  hint_name = name;
}

void Inode::DropHint(FileId parent, std::string_view name) {
  MutexLock l(hint_mutex);
  if (hint_parent != parent || hint_name != name) return;
  hint_parent = FileId{};
  hint_name.clear();
}

InodeRef InodeTable::Hold(FileId file) {
  Shard& shard = ShardOf(file);
  MutexLock l(shard.mutex);
  std::unique_ptr<Inode>& slot = shard.inodes[file];
  if (!slot) slot = std::make_unique<Inode>(file);
  ++slot->refs_;
  ++slot->grants_;
  return InodeRef(this, slot.get());
}

Result<InodeRef> InodeTable::Get(FileId file) {
  InodeRef ref = Hold(file);
  Inode* inode = ref.get();
  if (!inode->ready_.load(std::memory_order_acquire)) DKFS_TRY(Load(*inode));
  return ref;
}

Status InodeTable::Load(Inode& inode) {
  ExclusiveLock l(inode.lock);
  if (inode.loaded) return Status::Ok();
  DKFS_TRY_ASSIGN(InodeState state, store_->GetInode(inode.id));
  if (state.mode == 0) return Status::Error(ESTALE);
  inode.state = std::move(state);
  inode.exists = true;
  {
    Shard& shard = ShardOf(inode.id);
    MutexLock s(shard.mutex);
    if (auto it = shard.remembered.find(GroupOf(inode.id)); it != shard.remembered.end()) {
      if (it->second.present & BitOf(inode.id)) inode.presence = Presence::kPresent;
      inode.compared = (it->second.compared & BitOf(inode.id)) != 0;
    }
  }
  // It may have been changed, evicted and not yet synced: wait for whatever any evicted inode waited for.
  inode.last_seq.store(evicted_seq_.load());
  inode.adopted_seq.store(evicted_adopted_.load());
  inode.loaded = true;
  inode.ready_.store(true, std::memory_order_release);
  return Status::Ok();
}

InodeRef InodeTable::Add(FileId file, const InodeState& state) {
  InodeRef ref = Hold(file);
  Inode* inode = ref.get();
  ExclusiveLock l(inode->lock);
  if (!inode->loaded) {
    inode->state = state;
    inode->loaded = inode->exists = true;
    inode->ready_.store(true, std::memory_order_release);
  }
  return ref;
}

InodeRef InodeTable::Peek(FileId file) {
  Shard& shard = ShardOf(file);
  MutexLock l(shard.mutex);
  auto it = shard.inodes.find(file);
  if (it == shard.inodes.end()) return InodeRef();
  ++it->second->refs_;
  ++it->second->grants_;
  return InodeRef(this, it->second.get());
}

void InodeTable::CountLookup(Inode& inode) {
  MutexLock l(ShardOf(inode.id).mutex);
  ++inode.lookups_;
}

bool InodeTable::KernelKnows(const Inode& inode) {
  MutexLock l(ShardOf(inode.id).mutex);
  return inode.lookups_ > 0;
}

void InodeTable::Forget(FileId file, uint64_t count) {
  Shard& shard = ShardOf(file);
  Inode* inode;
  {
    MutexLock l(shard.mutex);
    auto it = shard.inodes.find(file);
    if (it == shard.inodes.end()) return;
    inode = it->second.get();
    inode->lookups_ -= std::min(inode->lookups_, count);
    if (inode->lookups_ > 0 || inode->refs_ > 0) return;
    inode->refs_ = 1;
  }
  Evict(shard, inode);
}

void InodeTable::Release(Inode* inode) {
  Shard& shard = ShardOf(inode->id);
  {
    MutexLock l(shard.mutex);
    if (inode->refs_ > 1 || inode->lookups_ > 0) {
      --inode->refs_;
      return;
    }
  }
  Evict(shard, inode);
}

namespace {

void RaiseTo(uint64_t least, std::atomic<uint64_t>* value) {
  uint64_t before = value->load();
  while (before < least && !value->compare_exchange_weak(before, least)) {
  }
}

bool MustStay(const Inode& inode) REQUIRES_SHARED(inode.lock) {
  return inode.presence == Presence::kPartial && inode.state.nlink > 0;
}

}  // namespace

bool InodeTable::MayLeave(Inode& inode, Remembered* keep) {
  {
    SharedLock l(inode.lock);
    if (!inode.loaded) return true;
    if (MustStay(inode)) return false;
  }
  if (evict_hook_) evict_hook_(inode);
  SharedLock l(inode.lock);
  if (MustStay(inode)) return false;
  *keep = {};
  if (inode.presence == Presence::kPresent && inode.exists) keep->present = BitOf(inode.id);
  if (inode.compared) keep->compared = BitOf(inode.id);
  return true;
}

// The inode stays in the table, held by our reference, while it is looked at and the hook runs (N1). Whoever takes it
// meanwhile shows in grants_, and then what we saw of it is out of date.
void InodeTable::Evict(Shard& shard, Inode* inode) {
  std::unique_ptr<Inode> gone;  // dies after the lock is dropped: closing its file may take long
  for (;;) {
    uint64_t grants;
    {
      MutexLock l(shard.mutex);
      grants = inode->grants_;
    }
    Remembered keep;
    const bool may_leave = MayLeave(*inode, &keep);
    MutexLock l(shard.mutex);
    if (inode->refs_ > 1 || inode->lookups_ > 0) {
      --inode->refs_;
      return;
    }
    if (inode->grants_ != grants) continue;
    if (!may_leave) {
      --inode->refs_;
      return;
    }
    RaiseTo(inode->last_seq, &evicted_seq_);
    RaiseTo(inode->adopted_seq, &evicted_adopted_);
    if (keep.present | keep.compared) {
      Remembered& remembered = shard.remembered[GroupOf(inode->id)];
      remembered.present |= keep.present;
      remembered.compared |= keep.compared;
    }
    auto it = shard.inodes.find(inode->id);
    gone = std::move(it->second);
    shard.inodes.erase(it);
    return;
  }
}

size_t InodeTable::size() const {
  size_t n = 0;
  for (const Shard& shard : shards_) {
    MutexLock l(shard.mutex);
    n += shard.inodes.size();
  }
  return n;
}

void InodeTable::RememberPresent(FileId file) {
  Shard& shard = ShardOf(file);
  MutexLock l(shard.mutex);
  shard.remembered[GroupOf(file)].present |= BitOf(file);
}

void InodeTable::ForgetPresent(FileId file) {
  Shard& shard = ShardOf(file);
  MutexLock l(shard.mutex);
  if (auto it = shard.remembered.find(GroupOf(file)); it != shard.remembered.end()) it->second.present &= ~BitOf(file);
}

bool InodeTable::IsRememberedPresent(FileId file) const {
  const Shard& shard = ShardOf(file);
  MutexLock l(shard.mutex);
  auto it = shard.remembered.find(GroupOf(file));
  return it != shard.remembered.end() && (it->second.present & BitOf(file)) != 0;
}

}  // namespace dkfs
