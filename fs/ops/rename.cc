// Rename: plain, over an existing name, RENAME_NOREPLACE, RENAME_EXCHANGE and RENAME_WHITEOUT (which leaves the
// character device 0:0 at the old name, as a union file system wants it).
#include <linux/fs.h>

#include <bit>

#include "fs/ops/impl.h"
#include "store/base/fault.h"

namespace dkfs {

struct FileSystem::Impl::RenamePlan {
  Inode* from_dir = nullptr;
  Inode* to_dir = nullptr;
  Inode* child = nullptr;
  Inode* victim = nullptr;  // what stands at the new name, if anything
  NameValue from, to;
  std::string_view from_name, to_name;
  std::string from_path, to_path;
  bool exchange = false;
  bool whiteout = false;
};

namespace {

// Whether `child` may take the place of `victim`, by their types.
Status CheckTypes(bool child_dir, bool victim_dir) {
  if (child_dir && !victim_dir) return Status::Error(ENOTDIR);
  if (!child_dir && victim_dir) return Status::Error(EISDIR);
  return Status::Ok();
}

}  // namespace

// True when `dir` is `ancestor` or lies below it.
Result<bool> FileSystem::Impl::IsBelow(FileId dir, FileId ancestor) {
  FileId at = dir, remembered = dir;  // as in Store::PathOf
  for (size_t steps = 1; at != kRootFile; ++steps) {
    if (at == ancestor) return true;
    DKFS_TRY_ASSIGN(const std::vector<LinkName> links, store->Links(at));
    if (links.empty()) return Status::Error(ENOENT);
    at = links.front().parent;
    if (at == remembered) return Status::Corruption("file " + std::to_string(at.value) + ": its path has no end");
    if (std::has_single_bit(steps)) remembered = at;
  }
  return ancestor == kRootFile;
}

Status FileSystem::Rename(const Caller& caller, FileId parent, std::string_view name, FileId new_parent,
                          std::string_view new_name, unsigned flags) {
  Impl& fs = *impl_;
  if (flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT)) return Status::Error(EINVAL);
  if ((flags & RENAME_EXCHANGE) && flags != RENAME_EXCHANGE) return Status::Error(EINVAL);
  if (parent == kRootFile && name == kPartialDir) return Status::Error(ENOENT);
  DKFS_TRY(fs.CheckNewName(new_parent, new_name));
  fs.store->AwaitRoom();
  const bool exchange = flags == RENAME_EXCHANGE;
  DKFS_TRY(fs.SecureBefore(Impl::NameChange::kRename, parent, name));
  if (exchange) DKFS_TRY(fs.SecureBefore(Impl::NameChange::kRename, new_parent, new_name));
  if (!exchange && !(flags & RENAME_NOREPLACE)) {
    DKFS_TRY(fs.SecureBefore(Impl::NameChange::kRemoval, new_parent, new_name));
  }

  ExclusiveLock t(fs.tree);
  DKFS_TRY_ASSIGN(InodeRef from_dir, fs.DirectoryForChange(parent));
  DKFS_TRY_ASSIGN(InodeRef to_dir, fs.DirectoryForChange(new_parent));
  Impl::RenamePlan plan;
  plan.exchange = exchange;
  plan.whiteout = (flags & RENAME_WHITEOUT) != 0;
  plan.from_name = name;
  plan.to_name = new_name;
  DKFS_TRY_ASSIGN(plan.from, fs.store->Lookup(parent, name));
  Result<NameValue> at_target = fs.store->Lookup(new_parent, new_name);
  if (!at_target.ok() && !at_target.status().IsNotFound()) return at_target.status();
  if (at_target.ok()) plan.to = *at_target;
  if (at_target.ok() && (flags & RENAME_NOREPLACE)) return Status::Error(EEXIST);
  if (!at_target.ok() && plan.exchange) return Status::Error(ENOENT);
  if (at_target.ok() && plan.to.child == plan.from.child) return Status::Ok();  // two names of one inode stay

  DKFS_TRY_ASSIGN(InodeRef child, fs.GetLocked(plan.from.child));
  InodeRef victim;
  const bool child_dir = plan.from.type == DT_DIR, victim_dir = plan.to.type == DT_DIR;
  if (at_target.ok()) {
    DKFS_TRY_ASSIGN(victim, fs.GetLocked(plan.to.child));
    if (!plan.exchange) DKFS_TRY(CheckTypes(child_dir, victim_dir));
    if (!plan.exchange && victim_dir) {
      DKFS_TRY_ASSIGN(const bool empty, fs.store->IsEmptyDir(plan.to.child));
      if (!empty) return Status::Error(ENOTEMPTY);
      DKFS_TRY(fs.DirectoryForChange(plan.to.child).status());
    }
  }
  if (parent != new_parent) {
    if (child_dir) {
      DKFS_TRY_ASSIGN(const bool inside, fs.IsBelow(new_parent, plan.from.child));
      if (inside) return Status::Error(EINVAL);
    }
    if (plan.exchange && victim_dir) {
      DKFS_TRY_ASSIGN(const bool inside, fs.IsBelow(parent, plan.to.child));
      if (inside) return Status::Error(EINVAL);
    }
  }
  DKFS_TRY_ASSIGN(plan.from_path, fs.ChildPath(*from_dir, name));
  DKFS_TRY_ASSIGN(plan.to_path, fs.ChildPath(*to_dir, new_name));
  plan.from_dir = from_dir.get();
  plan.to_dir = to_dir.get();
  plan.child = child.get();
  plan.victim = victim.get();
  if (victim && !plan.exchange) DKFS_TRY(fs.SecureLate(*victim));
  InodeLocks locks({plan.from_dir, plan.to_dir, plan.child, plan.victim});
  return fs.RenameLocked(caller, plan);
}

Status FileSystem::Impl::RenameLocked(const Caller& caller, const RenamePlan& plan) NO_THREAD_SAFETY_ANALYSIS {
  Inode& from_dir = *plan.from_dir;
  Inode& to_dir = *plan.to_dir;
  Inode& child = *plan.child;
  Inode* victim = plan.victim;
  const TimeSpec now = WallNow();
  if (victim != nullptr && !plan.exchange) KeepReachable(*victim, plan.to_path);

  RecordBuilder record;
  record.SetRequest(caller.request);
  // A name that stands before and after keeps its entry, only its inode changes: a listing under way shows it once.
  if (!plan.exchange && !plan.whiteout) record.NameGone(from_dir.id, plan.from.entry, plan.from_name);
  const EntryId to_entry = victim != nullptr ? plan.to.entry : store->NewEntry();
  record.Name(to_dir.id, to_entry, plan.to_name, child.id, plan.from.type);

  InodeState child_after = child.state, victim_after;
  child_after.ctime = now;
  if (victim != nullptr && plan.exchange) {
    record.Name(from_dir.id, plan.from.entry, plan.from_name, victim->id, plan.to.type);
    victim_after = victim->state;
    victim_after.ctime = now;
    record.Inode(victim->id, victim_after);
  } else if (victim != nullptr) {
    victim_after = LoseName(*victim, now, &record);
    if (IsRegular(child_after) && IsRegular(victim->state) && victim->state.size > 0) {
      child_after.replaced = victim->id;
      child_after.replaced_at = Seq{};  // this record's, see store/format/inode_state.h
    }
  }
  record.Inode(child.id, child_after);
  const NewInode device{.mode = S_IFCHR, .rdev = 0, .target = {}, .open = false};
  Inherited whiteout;
  FileId whiteout_file;
  if (plan.whiteout) {
    DKFS_TRY_ASSIGN(whiteout, Inherit(caller, from_dir, from_dir.state, device));
    whiteout_file = store->NewFile();
    record.Inode(whiteout_file, whiteout.state);
    record.Name(from_dir.id, plan.from.entry, plan.from_name, whiteout_file, DT_CHR);
  }

  InodeState from_after = from_dir.state, to_after = to_dir.state;
  InodeState& to_ref = &from_dir == &to_dir ? from_after : to_after;
  from_after.mtime = from_after.ctime = to_ref.mtime = to_ref.ctime = now;
  if (IsDir(child.state)) {
    --from_after.nlink;
    ++to_ref.nlink;
  }
  if (victim != nullptr && IsDir(victim->state)) {
    --to_ref.nlink;
    if (plan.exchange) ++from_after.nlink;
  }
  record.Inode(from_dir.id, from_after);
  if (&from_dir != &to_dir) record.Inode(to_dir.id, to_after);

  DKFS_TRY_ASSIGN(const Seq seq, store->Append(record));
  if (Status s = RenameBacking(plan); !s.ok()) {
    RecordBuilder undo;
    undo.Void(seq);
    DKFS_TRY(store->Append(undo).status());
    return Refused(s);
  }
  if (child_after.replaced && !child_after.replaced_at) child_after.replaced_at = seq;
  Publish(child, child_after, seq);
  child.SetHint(to_dir.id, plan.to_name);
  if (victim != nullptr) {
    Publish(*victim, victim_after, seq);
    if (plan.exchange) victim->SetHint(from_dir.id, plan.from_name);
    if (!plan.exchange) victim->DropHint(to_dir.id, plan.to_name);
    if (!plan.exchange) AfterLastName(*victim);
  }
  if (plan.whiteout) {
    InodeRef made = inodes->Add(whiteout_file, whiteout.state);
    made->SetHint(from_dir.id, plan.from_name);
    UniqueFd none;
    Status there = MakeBacking(plan.from_path, device, whiteout, &none);
    ExclusiveLock l(made->lock);
    if (there.ok()) made->presence = Presence::kPresent;
    made->compared = true;
    Publish(*made, whiteout.state, seq);
    there.Ignore("hydration makes it");
  }
  Publish(from_dir, from_after, seq);
  if (&from_dir != &to_dir) Publish(to_dir, to_after, seq);
  return Status::Ok();
}

// Backing entries that hydration has not made yet are not there to be renamed; they will be made under the new name.
Status FileSystem::Impl::RenameBacking(const RenamePlan& plan) NO_THREAD_SAFETY_ANALYSIS {
  DKFS_TRY(Fault::Pass("ops.recorded"));
  if (plan.exchange) {
    Status s = backing->Rename(plan.from_path, plan.to_path, RENAME_EXCHANGE);
    if (!s.IsNotFound()) return s;
    s = backing->Rename(plan.from_path, plan.to_path, RENAME_NOREPLACE);
    if (!s.IsNotFound()) return s;
    s = backing->Rename(plan.to_path, plan.from_path, RENAME_NOREPLACE);
    return s.IsNotFound() ? Status::Ok() : s;
  }
  Status s = backing->Rename(plan.from_path, plan.to_path, 0);
  if (!s.IsNotFound()) return s;
  if (plan.child->presence == Presence::kPresent && plan.child->state.nlink == 1)
    return Status::Error(EIO, "backing file is gone");
  if (plan.victim == nullptr) return Status::Ok();
  s = IsDir(plan.victim->state) ? backing->RemoveDir(plan.to_path) : backing->Unlink(plan.to_path);
  return s.IsNotFound() ? Status::Ok() : s;
}

}  // namespace dkfs
