#include "tests/crash/oracle/tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "store/base/hash.h"
#include "store/base/unique_fd.h"
#include "tests/support/random.h"

namespace dkfs::oracle {
namespace {

struct Walk {
  std::string root;
  uint32_t threads = 0;
  Rows rows;
  std::map<ino_t, std::vector<std::string>> groups;
};

Result<std::string> ReadAll(const std::string& path, uint64_t size) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd) return Status::FromErrno("open " + path);
  std::string data(size + 1, '\0');  // one more: a file longer than its attributes say is seen
  size_t got = 0;
  while (got < data.size()) {
    const ssize_t n = ::pread(fd.get(), data.data() + got, data.size() - got, static_cast<off_t>(got));
    if (n < 0) return Status::FromErrno("read " + path);
    if (n == 0) break;
    got += static_cast<size_t>(n);
  }
  data.resize(got);
  return data;
}

Result<std::string> Xattrs(const std::string& path) {
  char names[4096];
  const ssize_t bytes = ::llistxattr(path.c_str(), names, sizeof names);
  if (bytes < 0) return Status::FromErrno("listxattr " + path);
  std::map<std::string, std::string> sorted;
  for (const char* name = names; name < names + bytes; name += strlen(name) + 1) {
    if (strncmp(name, "user.", 5) != 0) continue;
    char value[4096];
    const ssize_t size = ::lgetxattr(path.c_str(), name, value, sizeof value);
    if (size < 0) return Status::FromErrno("getxattr " + path);
    sorted[name] = std::string(value, static_cast<size_t>(size));
  }
  std::string text;
  for (const auto& [name, value] : sorted) text += " " + name + "=" + value;
  return text;
}

std::string Octal(unsigned mode) {
  char text[16];
  snprintf(text, sizeof text, "%04o", mode);
  return text;
}

Status AddRegions(Walk* walk, const std::string& path, const Row& row) {
  for (uint32_t thread = 0; thread < walk->threads; ++thread) {
    Row region;
    region.meta = "region";
    const uint64_t at = std::min<uint64_t>(thread * kRegionBytes, row.data->size());
    region.SetContent(std::make_shared<std::string>(row.data->substr(at, kRegionBytes)));
    walk->rows[path + "[" + std::to_string(thread) + "]"] = std::move(region);
  }
  return Status::Ok();
}

Status AddFile(Walk* walk, const std::string& full, const std::string& path, const struct stat& st, Row* row) {
  DKFS_TRY_ASSIGN(std::string data, ReadAll(full, static_cast<uint64_t>(st.st_size)));
  if (data.size() != static_cast<uint64_t>(st.st_size)) row->meta += " size-is-not-what-it-reads";
  row->SetContent(std::make_shared<std::string>(std::move(data)));
  if (path.starts_with(std::string(kShared) + "/d")) DKFS_TRY(AddRegions(walk, path, *row));
  return Status::Ok();
}

Status Visit(Walk* walk, const std::string& path);

Status VisitAll(Walk* walk, const std::string& path) {
  const std::string full = path.empty() ? walk->root : walk->root + "/" + path;
  DIR* dir = ::opendir(full.c_str());
  if (dir == nullptr) return Status::FromErrno("list " + full);
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(dir)) names.emplace_back(entry->d_name);
  const int failed = errno;
  ::closedir(dir);
  if (failed != 0) return Status::Error(failed, "list " + full);
  for (const std::string& name : names) {
    if (name == "." || name == "..") continue;
    DKFS_TRY(Visit(walk, path.empty() ? name : path + "/" + name));
  }
  return Status::Ok();
}

Status Visit(Walk* walk, const std::string& path) {
  const std::string full = walk->root + "/" + path;
  struct stat st {};
  if (::lstat(full.c_str(), &st) != 0) return Status::FromErrno("stat " + full);
  Row row;
  row.mtime_ns = static_cast<int64_t>(st.st_mtim.tv_sec) * 1'000'000'000 + st.st_mtim.tv_nsec;
  const char type = S_ISREG(st.st_mode) ? 'f' : S_ISDIR(st.st_mode) ? 'd' : S_ISLNK(st.st_mode) ? 'l' : 'p';
  row.meta = std::string(1, type) + " " + Octal(st.st_mode & 07777) + " " + std::to_string(st.st_uid) + ":" +
             std::to_string(st.st_gid);
  if (type != 'd') row.meta += " links=" + std::to_string(st.st_nlink);
  if (type == 'f' || type == 'd') {
    DKFS_TRY_ASSIGN(const std::string xattrs, Xattrs(full));
    row.meta += xattrs;
  }
  if (type == 'l') {
    char target[4096];
    const ssize_t size = ::readlink(full.c_str(), target, sizeof target);
    if (size < 0) return Status::FromErrno("readlink " + full);
    row.meta += " -> " + std::string(target, static_cast<size_t>(size));
  }
  if (type == 'f') DKFS_TRY(AddFile(walk, full, path, st, &row));
  if (type != 'd') walk->groups[st.st_ino].push_back(path);
  walk->rows[path] = std::move(row);
  return type == 'd' ? VisitAll(walk, path) : Status::Ok();
}

Status MakeSynced(const std::string& path, const std::string& content) {
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!fd) return Status::FromErrno("create " + path);
  if (::write(fd.get(), content.data(), content.size()) != static_cast<ssize_t>(content.size()))
    return Status::FromErrno("write " + path);
  return ::fsync(fd.get()) == 0 ? Status::Ok() : Status::FromErrno("fsync " + path);
}

Status SyncDir(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  return fd && ::fsync(fd.get()) == 0 ? Status::Ok() : Status::FromErrno("fsync " + path);
}

}  // namespace

void Row::SetContent(std::shared_ptr<const std::string> content) {
  has_content = true;
  size = content->size();
  sum = Hash64(AsBytes(*content));
  data = std::move(content);
}

std::string HomeOf(uint32_t thread) { return "t" + std::to_string(thread); }
std::string PrefixOf(uint32_t thread) { return std::string(kShared) + "/t" + std::to_string(thread) + "_"; }
std::string SharedFile(int number) { return std::string(kShared) + "/d" + std::to_string(number); }
std::string RegionRow(int number, uint32_t thread) { return SharedFile(number) + "[" + std::to_string(thread) + "]"; }

std::string RegionContent(int number, uint32_t thread) {
  return test::Random(1000 + thread * 10 + static_cast<uint64_t>(number)).Text(kRegionBytes);
}

std::string Describe(const Row& row) {
  std::string text = row.meta;
  if (row.has_content) {
    char sum[64];
    snprintf(sum, sizeof sum, " size=%llu sum=%016llx", static_cast<unsigned long long>(row.size),
             static_cast<unsigned long long>(row.sum));
    text += sum;
  }
  if (row.mtime_ns) text += " mtime=" + std::to_string(*row.mtime_ns);
  return text;
}

Status Setup(const std::string& dir, uint32_t threads) {
  ::umask(0);
  std::vector<std::string> made = {kShared};
  for (uint32_t thread = 0; thread < threads; ++thread) made.push_back(HomeOf(thread));
  for (const std::string& name : made) {
    if (::mkdir((dir + "/" + name).c_str(), 0755) != 0) return Status::FromErrno("mkdir " + name);
  }
  for (int i = 0; i < kSharedFiles; ++i) {
    std::string content;
    for (uint32_t thread = 0; thread < threads; ++thread) content += RegionContent(i, thread);
    DKFS_TRY(MakeSynced(dir + "/" + SharedFile(i), content));
  }
  for (const std::string& name : made) DKFS_TRY(SyncDir(dir + "/" + name));
  return SyncDir(dir);
}

Result<Rows> ReadTree(const std::string& dir, uint32_t threads) {
  Walk walk;
  walk.root = dir;
  walk.threads = threads;
  DKFS_TRY(VisitAll(&walk, ""));
  for (auto& [inode, names] : walk.groups) {
    std::sort(names.begin(), names.end());
    if (names.size() > 1) {
      for (const std::string& name : names) walk.rows[name].meta += " same=" + names.front();
    }
  }
  return std::move(walk.rows);
}

std::optional<uint32_t> OwnerOf(const std::string& path, uint32_t threads) {
  for (uint32_t thread = 0; thread < threads; ++thread) {
    const std::string home = HomeOf(thread), end = "[" + std::to_string(thread) + "]";
    if (path == home || path.starts_with(home + "/") || path.starts_with(PrefixOf(thread)) || path.ends_with(end))
      return thread;
  }
  return std::nullopt;
}

}  // namespace dkfs::oracle
