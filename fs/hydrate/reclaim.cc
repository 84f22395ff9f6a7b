// Reclaiming: after an unclean end a file may stand under another name than the store says, because a rename (of it, or
// of a directory above) was recorded and not carried out, or carried out and not recorded. What was captured is made
// again from the store. Adopted content that was not is only in that file: before anything can take its place, or take
// it for something else, it is found by the inode number and the time of birth that were recorded (where there is no
// such time, by what a write changes: so such a file is captured before it is renamed), and gets its partial name.
#include <dirent.h>
#include <stdio.h>

#include "fs/hydrate/impl.h"
#include "store/base/log.h"

namespace dkfs {

Result<bool> Hydrator::Impl::IsMisplaced(FileId file, uint64_t number) {
  if (backing->Stat(Backing::PartialPath(file)).ok()) return false;
  Result<std::vector<Link>> links = LinksOf(file);
  if (!links.ok())
    return links.status().IsNotFound() ? Result(false) : links.status();  // half adopted: has no way to it
  bool found = false;
  for (const Link& link : *links) {
    Result<struct stat> st = backing->Stat(link.path);
    if (st.ok() && st->st_ino != number) return true;
    found = found || st.ok();
  }
  return !found;
}

bool Hydrator::Impl::LooksLike(const struct stat& st, const InodeState& state) {
  const TimeSpec mtime{st.st_mtim.tv_sec, static_cast<uint32_t>(st.st_mtim.tv_nsec)};
  return static_cast<uint64_t>(st.st_size) == state.size && mtime == state.mtime;
}

Status Hydrator::Impl::ReclaimOne(const std::string& path, Misplaced* misplaced) {
  Result<struct stat> st = backing->Stat(path);
  if (!st.ok()) return Status::Ok();
  auto it = misplaced->find(st->st_ino);
  if (it == misplaced->end()) return Status::Ok();
  const FileId file = it->second;
  DKFS_TRY_ASSIGN(const InodeState state, store->GetInode(file));
  DKFS_TRY_ASSIGN(const std::optional<TimeSpec> birth, backing->BirthTime(path));
  const bool same = birth && *birth == state.btime;
  if (!same && !LooksLike(*st, state)) return Status::Ok();  // another one that got its number since
  DKFS_TRY(backing->EnsurePartialDir());
  DKFS_TRY(backing->Rename(path, Backing::PartialPath(file), RENAME_NOREPLACE));
  Log(LogLevel::kInfo, "reclaimed", {{"path", path}, {"file", file.value}});
  misplaced->erase(it);
  return Status::Ok();
}

Status Hydrator::Impl::Reclaim() {
  SharedLock t(tree);
  Misplaced misplaced;
  std::vector<std::pair<FileId, uint64_t>> uncaptured;
  DKFS_TRY(store->EachInode(kLatest, [&](FileId file, const InodeState& state) {
    const bool wanted = state.content == ContentState::kAdopting && state.rdev != 0 && state.nlink > 0;
    if (wanted) uncaptured.emplace_back(file, state.rdev);
    return true;
  }));
  for (const auto& [file, number] : uncaptured) {
    DKFS_TRY_ASSIGN(const bool elsewhere, IsMisplaced(file, number));
    if (elsewhere) misplaced.emplace(number, file);
  }
  for (std::vector<std::string> left{""}; !left.empty() && !misplaced.empty();) {
    const std::string dir = std::move(left.back());
    left.pop_back();
    Result<std::vector<Backing::Entry>> entries = backing->ListEntries(dir);
    if (!entries.ok()) continue;  // what cannot be entered now is found to be so when it is used
    for (const Backing::Entry& entry : *entries) {
      const std::string path = dir.empty() ? entry.name : dir + "/" + entry.name;
      if (entry.type == DT_DIR) left.push_back(path);
      if (entry.type != DT_REG) continue;
      if (Status s = ReclaimOne(path, &misplaced); !s.ok()) {
        Log(LogLevel::kWarn, "reclaim_failed",
            {{"path", path}, {"error", s.ToString()}, {"hint", "its content is only there: copy it elsewhere"}});
      }
    }
  }
  return Status::Ok();
}

}  // namespace dkfs
