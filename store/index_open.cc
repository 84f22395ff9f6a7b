#include "store/index_open.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "store/base/file.h"
#include "store/base/log.h"
#include "store/journal/recovery.h"
#include "store/rebuild.h"

namespace dkfs {
namespace {

constexpr const char* kIndex = "index";
constexpr const char* kBroken = "index.broken";
constexpr const char* kMark = "index.rebuild";

Result<bool> Exists(int dirfd, const std::string& name) {
  Result<struct stat> stat = file::Stat(dirfd, name, AT_SYMLINK_NOFOLLOW);
  if (stat.ok()) return true;
  if (stat.status().IsNotFound()) return false;
  return stat.status();
}

// What makes an index unusable but a store not, as its segments can tell everything again.
bool IsLostIndex(const Status& status) { return status.IsCorruption() || status.IsNotFound(); }

Status OpenAt(const StoreDir& dir, const std::string& path, bool create, OpenedIndex* out) {
  KvOptions options;
  options.create_if_missing = create;
  DKFS_TRY_ASSIGN(out->kv, Kv::Open(path, options));
  out->index = std::make_unique<Index>(out->kv.get(), dir.path() + "/journal");
  Status loaded = out->index->Load();
  if (!loaded.ok()) {
    out->index.reset();
    out->kv.reset();
    return loaded;
  }
  out->tail = out->index->recovered();
  return Status::Ok();
}

Result<bool> HasSegments(const StoreDir& dir) {
  Result<std::vector<ListedSegment>> segments = ListSegments(dir.path() + "/journal");
  if (segments.status().IsNotFound()) return false;
  if (!segments.ok()) return segments.status();
  return !segments->empty();
}

// An index whose making was cut short: nothing was ever recorded in it, so it is made again.
Result<bool> IsUnfinished(const StoreDir& dir) {
  DKFS_TRY_ASSIGN(const bool flushed, Exists(dir.fd(), "index/FLUSHES"));
  DKFS_TRY_ASSIGN(const bool segments, HasSegments(dir));
  return !flushed && !segments;
}

// Steps 1 and 2.
Status PutBrokenAside(const StoreDir& dir) {
  DKFS_TRY(RequestRebuild(dir));
  DKFS_TRY_ASSIGN(bool index, Exists(dir.fd(), kIndex));
  DKFS_TRY_ASSIGN(bool broken, Exists(dir.fd(), kBroken));
  if (index && broken) DKFS_TRY(file::RemoveTree(dir.fd(), kIndex));
  if (index && !broken) DKFS_TRY(file::Rename(dir.fd(), kIndex, kBroken));
  return file::SyncDir(dir.fd(), ".");
}

Status LeaveMemoryAll(const std::string& journal) {
  DKFS_TRY_ASSIGN(const std::vector<ListedSegment> segments, ListSegments(journal));
  DKFS_TRY_ASSIGN(const UniqueFd fd, file::Open(AT_FDCWD, journal, O_RDONLY | O_DIRECTORY));
  for (const ListedSegment& segment : segments) {
    if (segment.kind == SegmentKind::kJournal) DKFS_TRY(LeaveMemory(fd.get(), segment.name));
  }
  return Status::Ok();
}

Result<OpenedIndex> Rebuild(const StoreDir& dir, const Status& why) {
  Log(LogLevel::kWarn, "index_rebuild",
      {{"store", dir.path()}, {"reason", why.ToString()}, {"hint", "nothing to do; this reads all segments once"}});
  DKFS_TRY(PutBrokenAside(dir));
  OpenedIndex out;
  out.rebuilding = true;
  DKFS_TRY(OpenAt(dir, dir.path() + "/" + kIndex, true, &out));
  TailEnd end;
  DKFS_TRY(LeaveMemoryAll(dir.path() + "/journal"));
  DKFS_TRY(RebuildIndex(dir.path() + "/journal", dir.uuid(), out.index.get(), &end));
  DKFS_TRY(end.damage.Prefix("the index is lost and cannot be rebuilt"));
  out.tail = end.position;
  return out;
}

// Copies what RocksDB may write to or read piecemeal, links what never changes.
Status CopyIndex(const std::string& from, const std::string& to) {
  DKFS_TRY(file::MakeDir(AT_FDCWD, to));
  DKFS_TRY_ASSIGN(std::vector<std::string> names, file::ListDir(AT_FDCWD, from));
  DKFS_TRY_ASSIGN(UniqueFd target, file::Open(AT_FDCWD, to, O_RDONLY | O_DIRECTORY));
  for (const std::string& name : names) {
    const std::string source = from + "/" + name;
    if (name == "LOCK" || name.starts_with("LOG")) continue;
    if (name.ends_with(".sst")) {
      if (symlinkat(source.c_str(), target.get(), name.c_str()) != 0) return Status::FromErrno(to + "/" + name);
      continue;
    }
    DKFS_TRY_ASSIGN(std::string content, file::ReadAll(AT_FDCWD, source));
    DKFS_TRY_ASSIGN(UniqueFd fd, file::Open(target.get(), name, O_WRONLY | O_CREAT | O_EXCL));
    DKFS_TRY(file::WriteAt(fd.get(), AsBytes(content), 0, name));
  }
  return Status::Ok();
}

}  // namespace

Result<std::unique_ptr<ScratchDir>> ScratchDir::Make() {
  const char* parent = getenv("TMPDIR");
  std::string path = std::string(parent != nullptr && *parent != '\0' ? parent : "/tmp") + "/dkfs-XXXXXX";
  if (mkdtemp(path.data()) == nullptr) return Status::FromErrno(path);
  return std::unique_ptr<ScratchDir>(new ScratchDir(path));
}

ScratchDir::~ScratchDir() { file::RemoveTree(AT_FDCWD, path_).Ignore("a left over temporary directory harms nothing"); }

Status RequestRebuild(const StoreDir& dir) {
  DKFS_TRY_ASSIGN(bool marked, Exists(dir.fd(), kMark));
  if (marked) return Status::Ok();
  return file::ReplaceDurably(dir.fd(), kMark, "the index is being rebuilt from the segments\n");
}

Status FinishRebuild(const StoreDir& dir) {
  DKFS_TRY(file::RemoveTree(dir.fd(), kMark));
  DKFS_TRY(file::SyncDir(dir.fd(), "."));
  return file::RemoveTree(dir.fd(), kBroken);
}

Result<OpenedIndex> OpenIndex(const StoreDir& dir) {
  DKFS_TRY_ASSIGN(bool marked, Exists(dir.fd(), kMark));
  if (marked) return Rebuild(dir, Status::Corruption("a rebuild was asked for or not finished"));
  DKFS_TRY(file::RemoveTree(dir.fd(), kBroken));
  DKFS_TRY_ASSIGN(bool exists, Exists(dir.fd(), "index/CURRENT"));
  DKFS_TRY_ASSIGN(bool segments, HasSegments(dir));
  if (!exists && segments) return Rebuild(dir, Status::Corruption("the index is missing"));
  OpenedIndex out;
  Status opened = OpenAt(dir, dir.path() + "/" + kIndex, !exists, &out);
  if (opened.ok()) return out;
  if (!IsLostIndex(opened)) return opened;
  if (segments) return Rebuild(dir, opened);
  DKFS_TRY_ASSIGN(const bool unfinished, IsUnfinished(dir));
  if (!unfinished) return opened;
  DKFS_TRY(file::RemoveTree(dir.fd(), kIndex));
  DKFS_TRY(OpenAt(dir, dir.path() + "/" + kIndex, true, &out));
  return out;
}

Result<OpenedIndex> OpenIndexCopy(const StoreDir& dir, const Status& distrust) {
  OpenedIndex out;
  DKFS_TRY_ASSIGN(out.scratch, ScratchDir::Make());
  DKFS_TRY_ASSIGN(bool marked, Exists(dir.fd(), kMark));
  Status opened = distrust.ok() ? Status::Corruption("its rebuilding was not finished") : distrust;
  if (!marked && distrust.ok()) {
    const std::string copy = out.scratch->path() + "/copy";
    DKFS_TRY_ASSIGN(std::string source, [&]() -> Result<std::string> {
      char* real = realpath((dir.path() + "/" + kIndex).c_str(), nullptr);
      if (real == nullptr) return std::string(dir.path() + "/" + kIndex);
      std::string path(real);
      free(real);
      return path;
    }());
    opened = CopyIndex(source, copy);
    if (opened.ok()) opened = OpenAt(dir, copy, false, &out);
  }
  if (opened.ok()) return out;
  DKFS_TRY_ASSIGN(bool segments, HasSegments(dir));
  if (segments && !IsLostIndex(opened)) return opened;
  if (segments)
    Log(LogLevel::kWarn, "index_unusable",
        {{"store", dir.path()},
         {"error", opened.ToString()},
         {"hint", "reading all segments instead; dkfs-replay reindex mends the store"}});
  if (segments) out.index_error = opened.Prefix(dir.path() + "/index");
  DKFS_TRY(OpenAt(dir, out.scratch->path() + "/rebuilt", true, &out));
  TailEnd end;
  DKFS_TRY(RebuildIndex(dir.path() + "/journal", dir.uuid(), out.index.get(), &end));
  out.tail = end.position;
  out.damage = end.damage;
  return out;
}

}  // namespace dkfs
