#include "fs/capture/drift.h"

#include <dirent.h>

#include <set>
#include <vector>

#include "fs/capture/adopt_walk.h"
#include "store/base/fault.h"
#include "store/base/log.h"

namespace dkfs {
namespace {

struct StoredEntry {
  EntryId entry;
  EntryValue value;
};

Result<std::vector<StoredEntry>> StoredNames(Store* store, FileId dir) {
  std::vector<StoredEntry> names;
  DKFS_TRY(store->List(dir, EntryId{}, kLatest, [&](EntryId entry, const EntryValue& value) {
    names.push_back({entry, value});
    return true;
  }));
  return names;
}

// Records that the name, and everything below it, ended while DIR was not mounted. Children first, so that a reader of
// any prefix finds no name without its inode.
Status EndName(Store* store, FileId parent, const StoredEntry& gone) {
  struct Step {
    FileId parent;
    StoredEntry entry;
    bool listed;
  };
  std::vector<Step> stack{{parent, gone, false}};
  while (!stack.empty()) {
    Step step = stack.back();
    stack.pop_back();
    const FileId file = step.entry.value.child;
    if (step.entry.value.type == DT_DIR && !step.listed) {
      stack.push_back({step.parent, step.entry, true});
      DKFS_TRY_ASSIGN(const std::vector<StoredEntry> below, StoredNames(store, file));
      for (const StoredEntry& child : below) stack.push_back({file, child, false});
      continue;
    }
    RecordBuilder record;
    record.NameGone(step.parent, step.entry.entry, step.entry.value.name);
    DKFS_TRY_ASSIGN(InodeState state, store->GetInode(file));
    if (step.entry.value.type != DT_DIR && state.nlink > 1) {
      --state.nlink;
      record.Inode(file, state);
    } else {
      record.InodeGone(file);
    }
    if (step.entry.value.type == DT_DIR) {  // in one record, so that every prefix counts right
      DKFS_TRY_ASSIGN(InodeState above, store->GetInode(step.parent));
      --above.nlink;
      record.Inode(step.parent, above);
    }
    DKFS_TRY(store->Append(record).status());
  }
  return Status::Ok();
}

// Names of the directory that went and came. Fills `nlink` with the links the directory has afterwards.
Status CompareNames(Store* store, Backing* backing, FileId dir, const std::string& path, uint32_t* nlink) {
  DKFS_TRY_ASSIGN(const std::vector<std::string> listed, backing->List(path));
  std::set<std::string> there(listed.begin(), listed.end());
  DKFS_TRY_ASSIGN(const std::vector<StoredEntry> stored, StoredNames(store, dir));
  *nlink = 2;
  for (const StoredEntry& entry : stored) {
    const std::string& name = entry.value.name;
    if (there.contains(name)) {
      DKFS_TRY_ASSIGN(const struct stat st, backing->Stat(Join(path, name)));
      if (((st.st_mode & S_IFMT) >> 12) == entry.value.type) {
        there.erase(name);
        if (entry.value.type == DT_DIR) ++*nlink;
        continue;
      }
    }
    DKFS_TRY(EndName(store, dir, entry));
  }
  if (there.empty()) return Status::Ok();
  AdoptWalk walk(store, backing);
  DKFS_TRY_ASSIGN(InodeState state, store->GetInode(dir));
  for (const std::string& name : there) {
    DKFS_TRY_ASSIGN(const struct stat st, backing->Stat(Join(path, name)));
    if (S_ISDIR(st.st_mode)) ++*nlink;
    DKFS_TRY(walk.Entry(Join(path, name), dir, &state, name));
  }
  return walk.Finish();
}

}  // namespace

Result<bool> Drift::IsUnchanged(Inode& inode, const std::string& path) {
  Result<Fingerprint> recorded = store_->GetFingerprint(inode.id);
  if (!recorded.ok() && !recorded.status().IsNotFound()) return recorded.status();
  Result<struct stat> st = backing_->Stat(path);
  if (!st.ok() && !st.status().IsNotFound()) return st.status();
  ExclusiveLock l(inode.lock);
  if (inode.compared) return true;  // what was seen above may be what this mount has changed since
  // Without an entry its name went too: comparing the directory it was in records that.
  inode.compared = !st.ok() || (recorded.ok() && *recorded == Backing::FingerprintOf(*st));
  return inode.compared;
}

Status Drift::Compare(Inode& inode, const std::string& path) {
  DKFS_TRY_ASSIGN(const bool unchanged, IsUnchanged(inode, path));
  if (unchanged) return Status::Ok();
  DKFS_TRY_ASSIGN(const struct stat st, backing_->Stat(path));
  const Fingerprint now = Backing::FingerprintOf(st);
  ExclusiveLock l(inode.lock);
  Result<InodeState> found = ReadBackingState(*backing_, path, st);
  if (!found.ok()) return found.status();
  InodeState after = *found;
  after.nlink = inode.state.nlink;
  after.btime = inode.state.btime;
  after.layout = inode.state.layout;
  after.block_shift = inode.state.block_shift;
  after.policy = inode.state.policy;
  if (S_ISDIR(after.mode)) DKFS_TRY(CompareNames(store_, backing_, inode.id, path, &after.nlink));
  if (S_ISREG(after.mode)) {
    // A new layout: no version of the old content is in force, all is believed from the backing file until captured.
    after.layout = LayoutId{inode.state.layout.value + 1};
    if (inode.state.size > 0 && after.size > 0) after.replaced = inode.id;
  }
  RecordBuilder record;
  record.Inode(inode.id, after);
  DKFS_TRY(RecordHoles(*backing_, path, st, inode.id, after, &record));
  inode.has_xattrs = Inode::Known::kUnknown;
  DKFS_TRY_ASSIGN(const auto xattrs_now, backing_->ListXattrs(path));
  DKFS_TRY_ASSIGN(const auto xattrs_before, store_->ListXattrs(inode.id));
  std::set<std::string> kept;
  for (const auto& [name, value] : xattrs_now) {
    record.Xattr(inode.id, name, value);
    kept.insert(name);
  }
  for (const auto& [name, value] : xattrs_before) {
    if (!kept.contains(name)) record.XattrGone(inode.id, name);
  }
  DKFS_TRY(Fault::Pass("drift.capture"));
  DKFS_TRY_ASSIGN(const Seq seq, store_->Append(record));
  if (after.replaced) after.replaced_at = seq;
  inode.state = after;
  inode.last_seq = seq.value;
  inode.compared = true;
  const std::pair<FileId, Fingerprint> print{inode.id, now};
  DKFS_TRY(store_->PutFingerprints({&print, 1}));
  Log(LogLevel::kInfo, "drift_captured", {{"path", path}, {"seq", seq.value}});
  return Status::Ok();
}

}  // namespace dkfs
