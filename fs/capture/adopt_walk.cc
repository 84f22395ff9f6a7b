#include "fs/capture/adopt_walk.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "store/base/fault.h"

namespace dkfs {
namespace {

uint8_t TypeOf(uint32_t mode) { return static_cast<uint8_t>((mode & S_IFMT) >> 12); }

}  // namespace

std::string Join(const std::string& path, const std::string& name) { return path.empty() ? name : path + "/" + name; }

Result<InodeState> ReadBackingState(Backing& backing, const std::string& path, const struct stat& st) {
  InodeState state = Backing::StateOf(st);
  if (S_ISLNK(st.st_mode)) {
    DKFS_TRY_ASSIGN(UniqueFd fd, backing.Open(path, O_PATH));
    char target[PATH_MAX];
    const ssize_t n = readlinkat(fd.get(), "", target, sizeof target);
    if (n < 0) return Status::FromErrno("readlink " + path);
    state.symlink_target.assign(target, static_cast<size_t>(n));
    state.size = state.symlink_target.size();
  }
  if (S_ISREG(st.st_mode) && st.st_size > 0) {
    state.content = ContentState::kAdopting;
    state.adopted_size = static_cast<uint64_t>(st.st_size);
    state.rdev = st.st_ino;
    DKFS_TRY_ASSIGN(const std::optional<TimeSpec> birth, backing.BirthTime(path));
    if (birth) state.btime = *birth;
  }
  return state;
}

Status RecordHoles(Backing& backing, const std::string& path, const struct stat& st, FileId file,
                   const InodeState& state, RecordBuilder* record) {
  constexpr uint64_t kLeastBytes = 256 << 10;
  constexpr int kMostHoles = 16 * 1024;  // so that they fit into one record
  const uint64_t size = state.size;
  if (state.content != ContentState::kAdopting || static_cast<uint64_t>(st.st_blocks) * 512 >= size) {
    return Status::Ok();
  }
  DKFS_TRY_ASSIGN(UniqueFd fd, backing.Open(path, O_RDONLY | O_NONBLOCK));
  const uint64_t block_size = uint64_t{1} << state.block_shift;
  int holes = 0;
  for (uint64_t at = 0; at < size && holes < kMostHoles;) {
    const off_t hole = ::lseek(fd.get(), static_cast<off_t>(at), SEEK_HOLE);
    if (hole < 0) return errno == ENXIO ? Status::Ok() : Status::FromErrno("look for a hole in " + path);
    const off_t data = ::lseek(fd.get(), hole, SEEK_DATA);
    if (data < 0 && errno != ENXIO) return Status::FromErrno("look for data in " + path);
    at = data < 0 ? size : static_cast<uint64_t>(data);
    const uint64_t first = (static_cast<uint64_t>(hole) + block_size - 1) >> state.block_shift;
    const uint64_t end = at < size ? at >> state.block_shift : (size - 1) / block_size + 1;
    if (end <= first || (end - first) << state.block_shift < kLeastBytes) continue;
    record->Range(file, state.layout, first, end);
    ++holes;
  }
  return Status::Ok();
}

Status AdoptWalk::AddInode(const std::string& path, FileId id, const InodeState& state) {
  if (refuses_fixed_) {
    DKFS_TRY_ASSIGN(const bool fixed, backing_->IsFixed(path));
    if (fixed) {
      return Status::Error(EPERM, "\"" + path + "\" is immutable or append-only, and could not be restored: take the " +
                                      "attribute off (chattr -i -a)");
    }
  }
  record_.Inode(id, state);
  DKFS_TRY_ASSIGN(auto xattrs, backing_->ListXattrs(path));
  for (const auto& [name, value] : xattrs) {
    record_.Xattr(id, name, value);
    DKFS_TRY(FlushIfLarge());  // some file systems take more of them than fit into a record
  }
  ++inodes_;
  if (state.content == ContentState::kAdopting) bytes_ += state.size;
  if (progress_ && inodes_ % 1024 == 0 && !progress_(inodes_)) return Status::Error(ECANCELED);
  return FlushIfLarge();
}

// Gives the entry its inode: a new one, or for a further name of a linked file the one it has.
Status AdoptWalk::Child(const std::string& path, const struct stat& st, FileId* id, bool* fresh, InodeState* state) {
  const bool linked = !S_ISDIR(st.st_mode) && st.st_nlink > 1;
  if (auto it = linked_.find(st.st_ino); linked && it != linked_.end()) {
    ++it->second.state.nlink;
    *id = it->second.id;
    *state = it->second.state;
    *fresh = false;
    record_.Inode(*id, *state);
    return Status::Ok();
  }
  DKFS_TRY_ASSIGN(*state, ReadBackingState(*backing_, path, st));
  state->nlink = S_ISDIR(st.st_mode) ? 2 : 1;
  *id = store_->NewFile();
  *fresh = true;
  if (linked) linked_[st.st_ino] = {*id, *state};
  return Status::Ok();
}

// Lists directories depth first with an own stack (trees may be deeper than any call stack). The topmost inode is
// recorded last, so that nothing half walked is ever reachable.
Status AdoptWalk::Walk(Pending top, bool record_top) {
  DKFS_TRY_ASSIGN(const struct stat root_st, backing_->Stat(""));
  std::vector<Pending> stack;
  stack.push_back(top);
  bool first = true;
  while (!stack.empty()) {
    Pending dir = std::move(stack.back());
    stack.pop_back();
    const bool is_top = first;
    first = false;
    dir.state.nlink = 2;
    DKFS_TRY_ASSIGN(const std::vector<std::string> names, backing_->List(dir.path));
    for (const std::string& name : names) {
      const std::string path = Join(dir.path, name);
      Result<struct stat> st = backing_->Stat(path);
      if (!st.ok() && st.status().IsNotFound()) continue;
      if (!st.ok()) return st.status();
      if (st->st_dev != root_st.st_dev) {
        return Status::Error(EXDEV, "\"" + path +
                                        "\" is on another file system: mounted there, a subvolume, or a layer " +
                                        "of an overlay; unmount it, or give it a dkfs of its own");
      }
      FileId id;
      bool fresh = false;
      InodeState state;
      DKFS_TRY(Child(path, *st, &id, &fresh, &state));
      record_.Name(dir.id, store_->NewEntry(), name, id, TypeOf(st->st_mode));
      if (S_ISDIR(st->st_mode)) {
        ++dir.state.nlink;
        stack.push_back({path, id, state, Backing::FingerprintOf(*st)});
        continue;
      }
      if (fresh) {
        DKFS_TRY(AddInode(path, id, state));
        DKFS_TRY(RecordHoles(*backing_, path, *st, id, state, &record_));
        prints_.emplace_back(id, Backing::FingerprintOf(*st));
      }
      DKFS_TRY(FlushIfLarge());
    }
    if (is_top) {
      top = dir;
    } else {
      DKFS_TRY(AddInode(dir.path, dir.id, dir.state));
      prints_.emplace_back(dir.id, dir.print);
    }
  }
  prints_.emplace_back(top.id, top.print);
  if (!record_top) return Status::Ok();
  return AddInode(top.path, top.id, top.state);
}

Status AdoptWalk::Directory(const std::string& path, FileId dir) {
  refuses_fixed_ = true;
  DKFS_TRY_ASSIGN(const struct stat st, backing_->Stat(path));
  DKFS_TRY_ASSIGN(const InodeState state, ReadBackingState(*backing_, path, st));
  return Walk({path, dir, state, Backing::FingerprintOf(st)}, true);
}

Status AdoptWalk::Entry(const std::string& path, FileId parent, InodeState* parent_state, const std::string& name) {
  DKFS_TRY_ASSIGN(const struct stat st, backing_->Stat(path));
  FileId id;
  bool fresh = false;
  InodeState state;
  DKFS_TRY(Child(path, st, &id, &fresh, &state));
  if (S_ISDIR(st.st_mode)) {
    DKFS_TRY(Walk({path, id, state, Backing::FingerprintOf(st)}, true));
  } else if (fresh) {
    DKFS_TRY(AddInode(path, id, state));
    DKFS_TRY(RecordHoles(*backing_, path, st, id, state, &record_));
    prints_.emplace_back(id, Backing::FingerprintOf(st));
  }
  record_.Name(parent, store_->NewEntry(), name, id, TypeOf(st.st_mode));
  if (S_ISDIR(st.st_mode)) {
    ++parent_state->nlink;
    record_.Inode(parent, *parent_state);
  }
  return FlushIfLarge();
}

Status AdoptWalk::FlushIfLarge() { return record_.bytes() >= kBatchBytes ? Flush() : Status::Ok(); }

Status AdoptWalk::Flush() {
  if (!record_.empty()) {
    DKFS_TRY(Fault::Pass("adopt.record"));
    DKFS_TRY(store_->Append(record_).status());
    record_.Clear();
  }
  if (!prints_.empty()) DKFS_TRY(store_->PutFingerprints(prints_));
  prints_.clear();
  return Status::Ok();
}

Status AdoptWalk::Finish() {
  DKFS_TRY(Flush());
  DKFS_TRY(store_->Sync());
  if (progress_) progress_(inodes_);
  return Status::Ok();
}

}  // namespace dkfs
