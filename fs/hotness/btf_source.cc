#include "fs/hotness/btf_source.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <fstream>

#include "fs/hotness/btf_mirror.h"
#include "fs/hotness/probes.h"
#include "store/base/bytes.h"
#include "store/base/file.h"
#include "store/base/log.h"
#include "store/base/unique_fd.h"

namespace dkfs {
namespace {

// Of an os-release file, quotes removed.
std::string ReleaseField(const std::string& name) {
  std::ifstream file("/etc/os-release");
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(name + "=")) continue;
    std::string value = line.substr(name.size() + 1);
    if (value.size() >= 2 && value.front() == '"' && value.back() == '"') value = value.substr(1, value.size() - 2);
    return value;
  }
  return "";
}

// Becomes part of a URL and of a path.
bool IsPlain(const std::string& word) {
  return !word.empty() && word.front() != '.' &&
         word.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+~-") ==
             std::string::npos;
}

Status CheckBtfBytes(const std::string& bytes) {
  UniqueFd memory(::memfd_create("btf", MFD_CLOEXEC));
  if (!memory) return Status::FromErrno("memory for types");
  DKFS_TRY(file::WriteAt(memory.get(), AsBytes(bytes), 0, "types"));
  return CheckBtf("/proc/self/fd/" + std::to_string(memory.get()));
}

Result<std::string> Fetch(const BtfOptions& options, const BtfSystem& system, const std::atomic<bool>& cancel) {
  for (const std::string& word : {system.release, system.arch, system.id, system.version_id}) {
    if (!IsPlain(word)) return Status::Error(EINVAL, "os-release or uname: '" + word + "'");
  }
  std::string base = options.mirror;
  while (base.ends_with('/')) base.pop_back();
  const std::string name = system.release + ".btf";
  const std::string url = base + "/" + system.id + "/" + system.version_id + "/" + system.arch + "/" + name + ".tar.xz";
  DKFS_TRY_ASSIGN(const std::string archive, Download(url, cancel));
  DKFS_TRY_ASSIGN(const std::string types, UnpackTarXz(archive, name));
  DKFS_TRY(CheckBtfBytes(types).Prefix(url));
  DKFS_TRY(file::MakeDirs(options.cache, 0755));
  std::string path = options.cache + "/" + name;
  DKFS_TRY(file::ReplaceDurably(AT_FDCWD, path, types));
  Log(LogLevel::kInfo, "btf_fetched", {{"url", url}, {"path", path}, {"bytes", types.size()}});
  return path;
}

}  // namespace

BtfSystem BtfSystem::Here() {
  utsname name{};
  ::uname(&name);
  BtfSystem system;
  system.release = name.release;
  system.arch = name.machine;
  system.id = ReleaseField("ID");
  system.version_id = ReleaseField("VERSION_ID");
  return system;
}

Result<std::string> FindBtf(const BtfOptions& options, const BtfSystem& system, const std::atomic<bool>& cancel) {
  if (!options.file.empty()) {
    DKFS_TRY(CheckBtf(options.file));
    return options.file;
  }
  if (::access(system.kernel_btf.c_str(), R_OK) == 0) return std::string();
  std::string cached = options.cache + "/" + system.release + ".btf";
  if (!options.cache.empty() && IsPlain(system.release) && ::access(cached.c_str(), R_OK) == 0) {
    Status checked = CheckBtf(cached);
    if (checked.ok() || options.mirror.empty()) return checked.ok() ? Result<std::string>(cached) : checked;
  }
  if (!options.mirror.empty()) return Fetch(options, system, cancel);
  return Status::Error(
      ENOENT, "the kernel carries no types (BTF) and " + cached + " is not there; give --btf FILE or --btf-mirror URL");
}

}  // namespace dkfs
