// First use of a file's content: which backing file serves it, and what of it is believed.
//
//   opened before in this mount      its names, or its partial name
//   trusted, fingerprint as recorded its name, as it stands                                       -> kPresent
//   empty in the store and in DIR    its name, as it stands                                       -> kPresent
//   a partial file of it is there    that one                                                     -> kPartial
//   an ordinary file at its name     that one, moved to the partial name, blocks to be verified   -> kPartial
//   otherwise                        a new partial file                                           -> kPartial
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>

#include "fs/hydrate/impl.h"
#include "store/base/file.h"
#include "store/base/hash.h"
#include "store/base/log.h"

namespace dkfs {
namespace {

// No entry, or one in the way of the path: a stale directory holds anything.
bool IsAbsence(const Status& s) {
  const int code = s.code();
  return code == ENOENT || code == ENOTDIR || code == ELOOP || code == EXDEV;
}

// Read-write; for reading alone what cannot be written now, so that reads go on: the file system turned read-only, the
// file is immutable, or a program that runs from it.
Result<UniqueFd> OpenForUse(Backing& backing, const std::string& path) {
  Result<UniqueFd> fd = backing.Open(path, O_RDWR);
  const bool readable = fd.code() == EROFS || fd.code() == EPERM || fd.code() == ETXTBSY;
  return readable ? backing.Open(path, O_RDONLY) : std::move(fd);
}

Result<UniqueFd> OpenRegular(Backing& backing, const std::string& path) {
  DKFS_TRY_ASSIGN(const struct stat st, backing.Stat(path));  // before opening: a fifo would wait, a device would act
  if (!S_ISREG(st.st_mode)) return Status::Error(ENOENT);
  return OpenForUse(backing, path);
}

}  // namespace

Result<std::vector<Hydrator::Impl::Link>> Hydrator::Impl::LinksOf(FileId file) {
  DKFS_TRY_ASSIGN(const std::vector<LinkName> names, store->Links(file));
  std::vector<Link> links;
  for (const LinkName& name : names) {
    DKFS_TRY_ASSIGN(std::string path, store->PathOf(name.parent));
    links.push_back({name.parent, path.empty() ? name.name : path + "/" + name.name});
  }
  return links;
}

bool Hydrator::Impl::KnownPresent(FileId file) {
  InodeRef ref = inodes->Peek(file);
  if (!ref) return inodes->IsRememberedPresent(file);
  SharedLock l(ref->lock);
  return ref->loaded ? ref->presence == Presence::kPresent : inodes->IsRememberedPresent(file);
}

Result<bool> Hydrator::Impl::FingerprintMatches(FileId file, const std::string& path) {
  if (!options.trusted) return false;
  Result<Fingerprint> recorded = store->GetFingerprint(file);
  if (!recorded.ok()) return recorded.status().IsNotFound() ? Result(false) : recorded.status();
  Result<struct stat> st = backing->Stat(path);
  if (!st.ok()) return IsAbsence(st.status()) ? Result(false) : st.status();
  return Backing::FingerprintOf(*st) == *recorded;
}

bool Hydrator::Impl::OwesAttributes(const Inode& inode) {
  if (inode.times_dirty) return true;
  MutexLock l(mutex);
  return touched.contains(inode.id);
}

std::string Hydrator::Impl::LostPath(FileId file) { return Backing::PartialPath(file) + ".lost"; }

Status Hydrator::Impl::Prepare(Inode& inode, const std::string& path) {
  if (inode.backing.valid()) return Status::Ok();
  if (!S_ISREG(inode.state.mode)) return Status::Error(EINVAL);
  if (inode.presence != Presence::kUnknown) {
    DKFS_TRY_ASSIGN(const bool done, ReopenKnown(inode, path));
    if (done) return Status::Ok();
  }
  DKFS_TRY_ASSIGN(const bool done, TakeAsItStands(inode, path));
  return done ? Status::Ok() : BeginPartial(inode, path);
}

// A backing file that somebody took away under the mount is made again.
Result<bool> Hydrator::Impl::ReopenKnown(Inode& inode, const std::string& path) {
  Result<UniqueFd> fd = Status::Error(ENOENT);
  if (inode.presence == Presence::kPartial) fd = OpenRegular(*backing, Backing::PartialPath(inode.id));
  if (IsAbsence(fd.status()) && !path.empty()) fd = OpenRegular(*backing, path);
  if (fd.ok()) {
    inode.backing = std::move(fd).value();
    return true;
  }
  if (!IsAbsence(fd.status())) return fd.status();
  Log(LogLevel::kWarn, "backing_file_gone",
      {{"path", path}, {"hint", "something else works in DIR; it is restored from the store"}});
  inode.absent_blocks = {};
  inode.presence = Presence::kUnknown;
  inodes->ForgetPresent(inode.id);
  return false;
}

Result<bool> Hydrator::Impl::TakeAsItStands(Inode& inode, const std::string& path) {
  if (path.empty()) return false;
  DKFS_TRY_ASSIGN(bool take, FingerprintMatches(inode.id, path));
  const bool trusted = take;
  const InodeState state = inode.state;
  if (!take && state.size == 0 && state.nlink == 1 && state.content == ContentState::kStored) {
    Result<struct stat> st = backing->Stat(path);
    if (!st.ok() && !IsAbsence(st.status())) return st.status();
    take = st.ok() && S_ISREG(st->st_mode) && st->st_size == 0 && st->st_nlink == 1;
  }
  if (!take) return false;
  DKFS_TRY_ASSIGN(UniqueFd fd, OpenForUse(*backing, path));
  if (!trusted || OwesAttributes(inode)) {
    DKFS_TRY(ApplyAttributes(inode.id, state, path));
    inode.times_dirty = true;
    NoteTouched(inode.id);
  }
  inode.backing = std::move(fd);
  inode.presence = Presence::kPresent;
  return true;
}

Status Hydrator::Impl::BeginPartial(Inode& inode, const std::string& path) {
  const std::string partial = Backing::PartialPath(inode.id);
  DKFS_TRY(backing->EnsurePartialDir());
  Result<struct stat> st = backing->Stat(partial);
  if (!st.ok() && !st.status().IsNotFound()) return st.status();
  if (st.ok() && !S_ISREG(st->st_mode)) DKFS_TRY(aside.MoveName(partial));
  bool found = st.ok() && S_ISREG(st->st_mode);
  if (found && st->st_nlink > 1) {
    DKFS_TRY_ASSIGN(found, KeepAlone(inode));
  }
  if (!found && !path.empty()) {
    DKFS_TRY_ASSIGN(found, TakeCandidate(inode, path));
  }
  if (!found) return StartFresh(inode);

  DKFS_TRY_ASSIGN(UniqueFd fd, OpenRegular(*backing, partial));
  DKFS_TRY_ASSIGN(const struct stat now, file::StatFd(fd.get(), partial));
  DKFS_TRY_ASSIGN(inode.believed_bytes, Believe(inode, static_cast<uint64_t>(now.st_size)));
  Status cut = CutTail(inode, fd.get(), static_cast<uint64_t>(now.st_size), path);
  if (cut.code() == Aside::kOverBudget) return SwapAside(inode, path);
  DKFS_TRY(std::move(cut));
  if (static_cast<uint64_t>(now.st_size) != inode.state.size) {
    DKFS_TRY(file::Truncate(fd.get(), inode.state.size, partial));
  }
  inode.backing = std::move(fd);
  presence::Begin(inode, presence::BlocksOf(inode.state), true);
  NoteComplete(inode);
  return Status::Ok();
}

Result<uint64_t> Hydrator::Impl::Believe(const Inode& inode, uint64_t size) {
  if (inode.state.content != ContentState::kAdopting) return size;
  const std::string path = LostPath(inode.id);
  uint64_t before = kEndOfFile;
  Result<std::string> mark = file::ReadAll(backing->root(), path);
  if (mark.ok()) before = ::strtoull(mark->c_str(), nullptr, 10);
  if (!mark.ok() && !mark.status().IsNotFound()) return mark.status();
  const uint64_t believed = std::min(before, size);
  if (believed < std::min(before, std::min(inode.state.size, inode.state.adopted_size))) {
    DKFS_TRY(file::ReplaceDurably(backing->root(), path, std::to_string(believed)));
  }
  return believed;
}

// Whether what is only in the backing file can be in this one. Where DIR was copied, numbers are others.
bool Hydrator::Impl::MayHold(const struct stat& st, const InodeState& state) {
  if (state.content == ContentState::kStored || state.rdev == 0) return true;
  return st.st_ino == state.rdev || LooksLike(st, state);
}

// Moves the file at one of the inode's names to its partial name, and takes its other names away (H1). False: there is
// none that is this inode's alone (H4).
Result<bool> Hydrator::Impl::TakeCandidate(Inode& inode, const std::string& path) {
  std::vector<Link> links{{FileId{}, path}};
  Result<struct stat> st = backing->Stat(path);
  if (inode.state.nlink > 1 || (st.ok() && st->st_nlink > 1)) {
    DKFS_TRY_ASSIGN(links, LinksOf(inode.id));
  }
  std::vector<Link> same;  // names of one backing file
  struct stat chosen = {};
  for (const Link& link : links) {
    st = backing->Stat(link.path);
    if (!st.ok() && !IsAbsence(st.status())) return st.status();
    if (!st.ok() || !S_ISREG(st->st_mode) || !MayHold(*st, inode.state)) continue;
    if (same.empty()) chosen = *st;
    if (st->st_ino == chosen.st_ino) same.push_back(link);
  }
  if (same.empty()) return false;
  if (same.size() < chosen.st_nlink) return TakeAliased(inode, same);
  DKFS_TRY(backing->Rename(same[0].path, Backing::PartialPath(inode.id), RENAME_NOREPLACE));
  for (size_t i = 1; i < same.size(); ++i) DKFS_TRY(backing->Unlink(same[i].path));
  return true;
}

// The partial file has further names: its own, when settling was cut short, which wait until it is checked again; or
// strange ones, which keep what it holds (H4). False: there is no partial file any more.
Result<bool> Hydrator::Impl::KeepAlone(Inode& inode) {
  const std::string partial = Backing::PartialPath(inode.id);
  DKFS_TRY_ASSIGN(const struct stat st, backing->Stat(partial));
  DKFS_TRY_ASSIGN(const std::vector<Link> links, LinksOf(inode.id));
  nlink_t others = st.st_nlink - 1;
  for (const Link& link : links) {
    Result<struct stat> there = backing->Stat(link.path);
    if (!there.ok() || there->st_ino != st.st_ino) continue;
    DKFS_TRY(backing->Unlink(link.path));
    --others;
  }
  if (others == 0) return true;
  if (inode.state.content == ContentState::kAdopting) {
    DKFS_TRY(CopyToPartial(inode, partial));
    return true;
  }
  DKFS_TRY(backing->Unlink(partial));
  return false;
}

// The backing file has names that are not this inode's. They keep it; this inode's names go aside. Content that exists
// nowhere else is copied first.
Result<bool> Hydrator::Impl::TakeAliased(Inode& inode, const std::vector<Link>& same) {
  const bool copy = inode.state.content == ContentState::kAdopting;
  if (copy) DKFS_TRY(CopyToPartial(inode, same[0].path));
  for (const Link& link : same) DKFS_TRY(aside.MoveName(link.path));
  return copy;
}

// Under its partial name only when it is complete, so that a crash never leaves half a copy to be believed.
Status Hydrator::Impl::CopyToPartial(Inode& inode, const std::string& path) {
  DKFS_TRY_ASSIGN(UniqueFd from, OpenRegular(*backing, path));
  const std::string name = Backing::PartialPath(inode.id) + ".copy";
  Status gone = backing->Unlink(name);
  if (!gone.ok() && !gone.IsNotFound()) return gone;
  DKFS_TRY_ASSIGN(UniqueFd to, backing->Open(name, O_RDWR | O_CREAT | O_EXCL, 0600));
  std::vector<std::byte> buffer(kSpanBytes);
  const off_t size = ::lseek(from.get(), 0, SEEK_END);
  if (size < 0) return Status::FromErrno("size of " + path);
  for (uint64_t at = 0;;) {
    const off_t data = ::lseek(from.get(), static_cast<off_t>(at), SEEK_DATA);
    if (data < 0 && errno != ENXIO) return Status::FromErrno("look for data in " + path);
    if (data < 0) break;
    at = static_cast<uint64_t>(data);
    DKFS_TRY_ASSIGN(const size_t n, file::ReadAt(from.get(), buffer, at, path));
    if (n == 0) break;
    const Bytes bytes = Bytes(buffer).first(n);
    if (!IsAllZero(bytes)) DKFS_TRY(file::WriteAt(to.get(), bytes, at, name));
    at += n;
  }
  DKFS_TRY(file::Truncate(to.get(), static_cast<uint64_t>(size), name));
  DKFS_TRY(file::Sync(to.get(), name));
  return backing->Rename(name, Backing::PartialPath(inode.id), 0);
}

Status Hydrator::Impl::StartFresh(Inode& inode) {
  const std::string partial = Backing::PartialPath(inode.id);
  inode.believed_bytes = 0;
  if (inode.state.content == ContentState::kAdopting) {
    Status marked = backing->Open(LostPath(inode.id), O_RDWR | O_CREAT | O_TRUNC, 0600).status();
    if (!marked.ok()) return marked;
  }
  DKFS_TRY_ASSIGN(UniqueFd fd, backing->Open(partial, O_RDWR | O_CREAT | O_EXCL, 0600));
  DKFS_TRY(file::Truncate(fd.get(), inode.state.size, partial));
  inode.backing = std::move(fd);
  presence::Begin(inode, presence::BlocksOf(inode.state), true);
  NoteComplete(inode);
  return Status::Ok();
}

// What the backing file holds beyond the recorded size is about to be cut off: kept aside unless a version explains it.
Status Hydrator::Impl::CutTail(Inode& inode, int fd, uint64_t size, const std::string& path) {
  const InodeState state = inode.state;
  const uint64_t block_size = uint64_t{1} << state.block_shift;
  std::vector<std::byte> buffer(block_size);
  for (uint64_t at = state.size; at < size;) {
    const off_t data = ::lseek(fd, static_cast<off_t>(at), SEEK_DATA);
    if (data < 0) return errno == ENXIO ? Status::Ok() : Status::FromErrno("look for data in " + path);
    const uint64_t block = static_cast<uint64_t>(data) >> state.block_shift;
    const uint64_t start = block << state.block_shift;
    DKFS_TRY_ASSIGN(const size_t n, file::ReadAt(fd, buffer, start, path));
    std::fill(buffer.begin() + static_cast<ptrdiff_t>(n), buffer.end(), std::byte{0});
    at = start + block_size;
    const size_t skip = start < state.size ? state.size - start : 0;
    if (n <= skip || IsAllZero(Bytes(buffer).first(n).subspan(skip))) continue;
    DKFS_TRY_ASSIGN(const bool explained, store->ExplainsBlock(inode.id, state, block, kLatest, Hash64(buffer)));
    if (!explained) DKFS_TRY(aside.CopyBytes(path, start + skip, Bytes(buffer).first(n).subspan(skip)));
  }
  return Status::Ok();
}

// An id that a loss of power took back was given again: what stands at its partial name is not this file.
Status Hydrator::Impl::LinkPartial(Inode& inode) {
  const std::string partial = Backing::PartialPath(inode.id);
  DKFS_TRY(backing->EnsurePartialDir());
  Status linked = backing->LinkFd(inode.backing.get(), partial);
  if (linked.code() != EEXIST) return linked;
  DKFS_TRY(aside.MoveName(partial, partial.substr(kPartialDir.size() + 1)));
  return backing->LinkFd(inode.backing.get(), partial);
}

Status Hydrator::Impl::SwapAside(Inode& inode, const std::string& path) {
  if (inode.state.content == ContentState::kAdopting) {
    return Status::Error(EDQUOT, "\"" + path + "\" holds content no version explains, and the space for it is used up");
  }
  inode.backing.reset();
  const std::string partial = Backing::PartialPath(inode.id);
  DKFS_TRY(aside.MoveName(partial, path.empty() ? partial : path));
  swaps.fetch_add(1, std::memory_order_relaxed);
  return StartFresh(inode);
}

}  // namespace dkfs
