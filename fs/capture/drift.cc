#include "fs/capture/drift.h"

#include <dirent.h>

#include <map>
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

bool IsOfType(const struct stat& st, uint32_t mode) { return ((st.st_mode ^ mode) & S_IFMT) == 0; }

Result<std::vector<StoredEntry>> StoredNames(Store* store, FileId dir) {
  std::vector<StoredEntry> names;
  DKFS_TRY(store->List(dir, EntryId{}, kLatest, [&](EntryId entry, const EntryValue& value) {
    names.push_back({entry, value});
    return true;
  }));
  return names;
}

// One of several names of the file goes. In memory too: the kernel may know it by another. The only locks of two inodes
// at once out of FileId order; whoever else takes two holds the tree lock exclusively, as our caller does.
Status LoseName(Store* store, Inode& inode, FileId parent, EntryId entry, const std::string& name) {
  inode.DropHint(parent, name);
  RecordBuilder record;
  record.NameGone(parent, entry, name);
  ExclusiveLock l(inode.lock);
  InodeState after = inode.state;
  --after.nlink;
  record.Inode(inode.id, after);
  DKFS_TRY_ASSIGN(const Seq seq, store->Append(record));
  inode.state = after;
  inode.last_seq = seq.value;
  return Status::Ok();
}

// Records that the name, and everything below it, ended while DIR was not mounted. Children first, so that a reader of
// any prefix finds no name without its inode.
Status EndName(Store* store, InodeTable* inodes, FileId parent, const StoredEntry& gone) {
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
    DKFS_TRY_ASSIGN(const InodeState state, store->GetInode(file));
    if (step.entry.value.type != DT_DIR && state.nlink > 1) {
      DKFS_TRY_ASSIGN(InodeRef ref, inodes->Get(file));
      DKFS_TRY(LoseName(store, *ref, step.parent, step.entry.entry, step.entry.value.name));
      continue;
    }
    RecordBuilder record;
    record.NameGone(step.parent, step.entry.entry, step.entry.value.name);
    record.InodeGone(file);
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
Status CompareNames(Store* store, Backing* backing, InodeTable* inodes, FileId dir, const std::string& path,
                    uint32_t* nlink) {
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
    DKFS_TRY(EndName(store, inodes, dir, entry));
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

// Adds the extended attributes that differ. Where there are more than a record holds, the first go into records of
// their own: should the last, with the inode, never come, then what it was compared with stays in force but for those,
// each of which is whole.
Status CompareXattrs(Store* store, Backing* backing, FileId file, const std::string& path, RecordBuilder* record) {
  DKFS_TRY_ASSIGN(const auto now, backing->ListXattrs(path));
  DKFS_TRY_ASSIGN(const auto stored, store->ListXattrs(file));
  std::map<std::string, std::string> before(stored.begin(), stored.end());
  for (const auto& [name, value] : now) {
    const auto known = before.find(name);
    const bool same = known != before.end() && known->second == value;
    if (known != before.end()) before.erase(known);
    if (same) continue;
    record->Xattr(file, name, value);
    if (record->bytes() < AdoptWalk::kBatchBytes) continue;
    DKFS_TRY(store->Append(*record).status());
    record->Clear();
  }
  for (const auto& [name, value] : before) record->XattrGone(file, name);
  return Status::Ok();
}

}  // namespace

Result<Drift::Found> Drift::Look(const std::string& path) {
  Result<struct stat> st = backing_->Stat(path);
  if (st.ok()) return Found{path, *st};
  const bool absent = st.status().IsNotFound() || st.code() == ENOTDIR || st.code() == ELOOP;  // or the way is a link
  return absent ? Result<Found>(Found{path, std::nullopt}) : st.status();
}

Result<Drift::Found> Drift::Look(const LinkName& link) {
  DKFS_TRY_ASSIGN(const std::string parent, store_->PathOf(link.parent));
  return Look(Join(parent, link.name));
}

// What is of another type stands in its place: its name went, as of what is not there.
Result<Drift::Found> Drift::Find(Inode& inode, const std::string& path) {
  DKFS_TRY_ASSIGN(Found found, Look(path));
  uint32_t mode;
  {
    SharedLock l(inode.lock);
    mode = inode.state.mode;
    if (found.st && !IsOfType(*found.st, mode)) found.st.reset();
    if (found.st || S_ISDIR(mode) || inode.state.nlink < 2) return found;
  }
  DKFS_TRY_ASSIGN(const std::vector<LinkName> links, store_->Links(inode.id));
  for (const LinkName& link : links) {
    DKFS_TRY_ASSIGN(Found other, Look(link));
    if (other.st && IsOfType(*other.st, mode)) return other;
  }
  return found;
}

// Of several names those end that are gone or lead to another file by now, which is adopted: in one walk, since it may
// have got several of them. The file is where its recorded inode number is, else stays where it was found.
Status Drift::CompareLinks(Inode& inode, Found* found) {
  DKFS_TRY_ASSIGN(const std::vector<LinkName> links, store_->Links(inode.id));
  if (links.size() < 2) return Status::Ok();
  Result<Fingerprint> recorded = store_->GetFingerprint(inode.id);
  std::vector<Found> there;
  for (const LinkName& link : links) {
    DKFS_TRY_ASSIGN(there.emplace_back(), Look(link));
    const std::optional<struct stat>& st = there.back().st;
    if (st && recorded.ok() && st->st_ino == recorded->inode && IsOfType(*st, found->st->st_mode))
      *found = there.back();
  }
  AdoptWalk walk(store_, backing_);
  std::map<FileId, InodeState> above;
  for (size_t i = 0; i < links.size(); ++i) {
    const LinkName& link = links[i];
    if (there[i].st && there[i].st->st_ino == found->st->st_ino) continue;
    DKFS_TRY(LoseName(store_, inode, link.parent, link.entry, link.name));
    if (!there[i].st) continue;
    if (!above.contains(link.parent)) {
      DKFS_TRY_ASSIGN(above[link.parent], store_->GetInode(link.parent));
    }
    DKFS_TRY(walk.Entry(there[i].path, link.parent, &above[link.parent], link.name));
  }
  return above.empty() ? Status::Ok() : walk.Finish();
}

Result<bool> Drift::IsUnchanged(Inode& inode, const std::string& path) {
  DKFS_TRY_ASSIGN(const Found found, Find(inode, path));
  return IsUnchanged(inode, found);
}

Result<bool> Drift::IsUnchanged(Inode& inode, const Found& found) {
  Result<Fingerprint> recorded = store_->GetFingerprint(inode.id);
  if (!recorded.ok() && !recorded.status().IsNotFound()) return recorded.status();
  ExclusiveLock l(inode.lock);
  if (inode.compared) return true;  // what was seen above may be what this mount has changed since
  // Without an entry its name went too: comparing the directory it was in records that.
  inode.compared = !found.st || (recorded.ok() && *recorded == Backing::FingerprintOf(*found.st));
  return inode.compared;
}

Status Drift::Compare(Inode& inode, const std::string& hint) {
  DKFS_TRY_ASSIGN(Found found, Find(inode, hint));
  DKFS_TRY_ASSIGN(const bool unchanged, IsUnchanged(inode, found));
  if (unchanged) return Status::Ok();
  if (!S_ISDIR(found.st->st_mode)) DKFS_TRY(CompareLinks(inode, &found));
  const std::string& path = found.path;
  const struct stat& st = *found.st;
  const Fingerprint now = Backing::FingerprintOf(st);
  ExclusiveLock l(inode.lock);
  DKFS_TRY_ASSIGN(InodeState after, ReadBackingState(*backing_, path, st));
  after.nlink = inode.state.nlink;
  if (after.content != ContentState::kAdopting) after.btime = inode.state.btime;
  after.layout = inode.state.layout;
  after.block_shift = inode.state.block_shift;
  after.policy = inode.state.policy;
  if (S_ISDIR(after.mode)) DKFS_TRY(CompareNames(store_, backing_, inodes_, inode.id, path, &after.nlink));
  if (S_ISREG(after.mode)) {
    // A new layout: no version of the old content is in force, all is believed from the backing file until captured.
    after.layout = LayoutId{inode.state.layout.value + 1};
    if (inode.state.size > 0 && after.size > 0) after.replaced = inode.id;
  }
  RecordBuilder record;
  inode.has_xattrs = Inode::Known::kUnknown;
  DKFS_TRY(CompareXattrs(store_, backing_, inode.id, path, &record));
  record.Inode(inode.id, after);
  DKFS_TRY(RecordHoles(*backing_, path, st, inode.id, after, &record));
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
