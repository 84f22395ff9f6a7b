#include "fs/hydrate/aside.h"

#include <fcntl.h>
#include <time.h>

#include "store/base/clock.h"
#include "store/base/fault.h"
#include "store/base/file.h"
#include "store/base/log.h"

namespace dkfs {
namespace {

std::string FormatTime(TimeSpec t) {
  const time_t sec = static_cast<time_t>(t.sec);
  struct tm parts = {};
  ::gmtime_r(&sec, &parts);
  char text[32];
  ::strftime(text, sizeof text, "%Y%m%dT%H%M%SZ", &parts);
  return text;
}

std::string BaseName(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path.substr(path.rfind('/') + 1);
}

// Makes the directory if it is missing, and opens it.
Result<UniqueFd> Enter(int dir, const std::string& name) {
  Status made = file::MakeDir(dir, name, 0700);
  if (!made.ok() && made.code() != EEXIST) return made;
  return file::Open(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
}

constexpr size_t kPathsShown = 1000;

// `path` is that of the entry inside the set, "" for the set itself.
Status Measure(int dir, const std::string& name, const std::string& path, Aside::Set* set) {
  DKFS_TRY_ASSIGN(const struct stat st, file::Stat(dir, name, AT_SYMLINK_NOFOLLOW));
  ++set->entries;
  set->bytes += static_cast<uint64_t>(st.st_blocks) * 512;
  if (!path.empty() && set->paths.size() < kPathsShown) set->paths.push_back(path);
  if (!S_ISDIR(st.st_mode)) return Status::Ok();
  DKFS_TRY_ASSIGN(const UniqueFd below, file::Open(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  DKFS_TRY_ASSIGN(const std::vector<std::string> names, file::ListDir(below.get(), "."));
  for (const std::string& child : names) {
    DKFS_TRY(Measure(below.get(), child, path.empty() ? child : path + "/" + child, set));
  }
  return Status::Ok();
}

}  // namespace

Aside::Aside(Backing* backing, std::string store_path, uint64_t budget_bytes)
    : backing_(backing), store_path_(std::move(store_path)), budget_bytes_(budget_bytes) {}

uint64_t Aside::bytes() const {
  MutexLock l(mutex_);
  return bytes_;
}

uint64_t Aside::entries() const {
  MutexLock l(mutex_);
  return entries_;
}

Result<Aside::Sets> Aside::SetsAt(const Place& place) {
  Result<UniqueFd> dir = file::Open(place.base.get(), place.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  const bool theirs = place.exposed && (dir.ok() ? !CloseToOthers(dir->get(), place.display).ok()
                                                 : dir.code() == ENOTDIR || dir.code() == ELOOP);
  if (theirs || dir.status().IsNotFound()) return Sets{};
  if (!dir.ok()) return dir.status();
  DKFS_TRY_ASSIGN(std::vector<std::string> times, file::ListDir(dir->get(), "."));
  return Sets{std::move(dir).value(), std::move(times)};
}

Result<std::vector<Aside::Place>> Aside::FindPlaces() const {
  std::vector<Place> places;
  DKFS_TRY_ASSIGN(const struct stat root, file::StatFd(backing_->root(), backing_->display()));
  Result<UniqueFd> store = file::Open(AT_FDCWD, store_path_, O_RDONLY | O_DIRECTORY);
  const auto is_near = [&](const UniqueFd& fd) {
    Result<struct stat> st = file::StatFd(fd.get(), "aside");
    return st.ok() && st->st_dev == root.st_dev;
  };
  if (store.ok() && is_near(*store)) places.push_back({std::move(store).value(), "aside", store_path_ + "/aside"});
  const std::string name = "." + BaseName(backing_->display()) + ".dkfs-aside";
  Result<UniqueFd> above = file::Open(backing_->root(), "..", O_RDONLY | O_DIRECTORY);
  if (above.ok() && is_near(*above))
    places.push_back({std::move(above).value(), name, backing_->display() + "/../" + name, true});
  DKFS_TRY_ASSIGN(UniqueFd inside, backing_->Open("", O_RDONLY | O_DIRECTORY));
  const std::string hidden = std::string(kPartialDir) + "/aside";
  places.push_back({std::move(inside), hidden, backing_->display() + "/" + hidden});
  return places;
}

Status Aside::Locate() {
  if (!places_.empty()) return Status::Ok();
  DKFS_TRY_ASSIGN(places_, FindPlaces());
  set_ = time_ = FormatTime(WallNow());
  return Status::Ok();
}

void Aside::BeginSet() {
  copy_.reset();
  copied_ = 0;
  set_ = time_ + "~" + std::to_string(++sets_removed_);
}

Result<UniqueFd> Aside::OpenPlace() {
  for (;; ++current_) {
    const Place& place = places_[current_];
    if (place.name.starts_with(kPartialDir)) DKFS_TRY(backing_->EnsurePartialDir());
    Result<UniqueFd> dir = Enter(place.base.get(), place.name);
    if (!place.exposed) return dir;
    const Status ours = dir.ok() ? CloseToOthers(dir->get(), place.display) : dir.status();
    if (ours.ok()) return dir;
    Log(LogLevel::kWarn, "aside_place_passed_over",
        {{"place", place.display},
         {"error", ours.ToString()},
         {"hint", "move away what stands there, and mount again"}});
  }
}

Result<UniqueFd> Aside::OpenParent(const std::string& path, std::string* leaf) {
  DKFS_TRY_ASSIGN(UniqueFd at, OpenPlace());
  DKFS_TRY_ASSIGN(at, Enter(at.get(), set_));
  size_t from = 0;
  for (size_t slash; (slash = path.find('/', from)) != std::string::npos; from = slash + 1) {
    std::string part = path.substr(from, slash - from);
    Result<UniqueFd> next = Enter(at.get(), part);
    // What was moved there before is no directory: a name beside it.
    for (int n = 1; next.code() == ENOTDIR || next.code() == ELOOP; ++n)
      next = Enter(at.get(), part + "~" + std::to_string(n));
    if (!next.ok()) return next.status();
    at = std::move(next).value();
  }
  *leaf = path.substr(from);
  return at;
}

void Aside::Count(const struct stat& st) {
  ++entries_;
  bytes_ += static_cast<uint64_t>(st.st_blocks) * 512;
}

Status Aside::MoveName(const std::string& path, const std::string& as) {
  DKFS_TRY(Fault::Pass("aside.move"));
  MutexLock l(mutex_);
  DKFS_TRY(Locate());
  DKFS_TRY_ASSIGN(const struct stat st, backing_->Stat(path));
  for (; current_ < places_.size(); ++current_) {
    std::string leaf;
    DKFS_TRY_ASSIGN(const UniqueFd dir, OpenParent(as, &leaf));
    Status moved = backing_->MoveOut(path, dir.get(), leaf);
    for (int n = 1; moved.code() == EEXIST; ++n)
      moved = backing_->MoveOut(path, dir.get(), leaf + "~" + std::to_string(n));
    if (moved.code() == EXDEV && current_ + 1 < places_.size()) continue;
    if (!moved.ok()) return moved;
    Count(st);
    Log(LogLevel::kWarn, "moved_aside",
        {{"path", path},
         {"to", places_[current_].display + "/" + set_},
         {"hint", "no retained version explains it; see dkfsctl aside list"}});
    return Status::Ok();
  }
  return Status::Error(EXDEV, "move aside \"" + path + "\": no place on its file system");
}

Status Aside::CopyBytes(const std::string& path, uint64_t offset, Bytes data) {
  DKFS_TRY(Fault::Pass("aside.move"));
  MutexLock l(mutex_);
  if (copied_ + data.size() > budget_bytes_)
    return Status::Error(kOverBudget, "keep unexplained bytes of \"" + path + "\" aside");
  DKFS_TRY(Locate());
  if (!copy_.valid() || copy_path_ != path) {
    std::string leaf;
    DKFS_TRY_ASSIGN(const UniqueFd dir, OpenParent(path, &leaf));
    Result<UniqueFd> fd = file::Open(dir.get(), leaf, O_RDWR | O_CREAT | O_EXCL, 0600);
    for (int n = 1; fd.code() == EEXIST || fd.code() == EISDIR; ++n) {
      fd = file::Open(dir.get(), leaf + "~" + std::to_string(n), O_RDWR | O_CREAT | O_EXCL, 0600);
    }
    if (!fd.ok()) return fd.status();
    copy_ = std::move(fd).value();
    copy_path_ = path;
    ++entries_;
    Log(LogLevel::kWarn, "kept_aside",
        {{"path", path},
         {"to", places_[current_].display + "/" + set_},
         {"hint", "bytes no retained version explains; see dkfsctl aside list"}});
  }
  DKFS_TRY(file::WriteAt(copy_.get(), data, offset, "aside of " + path));
  DKFS_TRY(file::Datasync(copy_.get(), "aside of " + path));
  copied_ += data.size();
  bytes_ += data.size();
  return Status::Ok();
}

Result<std::vector<Aside::Set>> Aside::List() const {
  DKFS_TRY_ASSIGN(const std::vector<Place> places, FindPlaces());
  std::vector<Set> sets;
  for (const Place& place : places) {
    DKFS_TRY_ASSIGN(const Sets there, SetsAt(place));
    for (const std::string& time : there.times) {
      Set set{time, place.display, 0, 0, {}};
      Status measured = Measure(there.dir.get(), time, "", &set);
      if (measured.IsNotFound()) continue;  // just removed
      DKFS_TRY(std::move(measured));
      --set.entries;  // the set itself
      sets.push_back(std::move(set));
    }
  }
  return sets;
}

Status Aside::Remove(const std::string& time) {
  if (time.find('/') != std::string::npos || time == "." || time == "..") return Status::Error(EINVAL);
  std::string kept;
  {
    MutexLock l(mutex_);
    DKFS_TRY(Locate());
    if (time.empty() || time == set_) BeginSet();
    kept = set_;
  }
  DKFS_TRY_ASSIGN(const std::vector<Place> places, FindPlaces());
  bool found = time.empty();
  for (const Place& place : places) {
    DKFS_TRY_ASSIGN(const Sets there, SetsAt(place));
    for (const std::string& set : there.times) {
      if (time.empty() ? set == kept : set != time) continue;
      DKFS_TRY(file::RemoveTree(there.dir.get(), set));
      found = true;
    }
    if (!there.dir) continue;
    MutexLock l(mutex_);                                                   // nobody is just making a set there
    (void)::unlinkat(place.base.get(), place.name.c_str(), AT_REMOVEDIR);  // with sets it stays
  }
  return found ? Status::Ok() : Status::Error(ENOENT, "nothing was moved aside at " + time);
}

}  // namespace dkfs
