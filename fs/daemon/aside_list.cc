#include "fs/daemon/aside_list.h"

#include <fcntl.h>

#include <algorithm>

#include "store/base/file.h"

namespace dkfs {
namespace {

using nlohmann::json;

struct AsideEntry {
  std::string parent;  // the directory that holds it
  std::string name;
};

struct Extent {
  uint64_t entries = 0, bytes = 0;
};

std::vector<std::string> AsideParents(const Places& places) {
  size_t slash = places.dir.rfind('/');
  std::string sibling = places.dir.substr(0, slash) + "/." + places.dir.substr(slash + 1) + ".dkfs-aside";
  return {places.store + "/aside", sibling};
}

Result<std::vector<AsideEntry>> Find(const Places& places) {
  std::vector<AsideEntry> found;
  for (const std::string& parent : AsideParents(places)) {
    auto names = file::ListDir(AT_FDCWD, parent);
    if (!names.ok() && names.status().IsNotFound()) continue;
    if (!names.ok()) return names.status();
    for (std::string& name : *names) found.push_back({parent, std::move(name)});
  }
  std::sort(found.begin(), found.end(), [](const AsideEntry& a, const AsideEntry& b) { return a.name < b.name; });
  return found;
}

Extent Measure(const std::string& path) {
  Extent extent;
  auto st = file::Stat(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW);
  if (!st.ok()) return extent;
  extent = {1, S_ISREG(st->st_mode) ? static_cast<uint64_t>(st->st_size) : 0};
  if (!S_ISDIR(st->st_mode)) return extent;
  auto names = file::ListDir(AT_FDCWD, path);
  if (!names.ok()) return extent;
  for (const std::string& name : *names) {
    Extent below = Measure(path + "/" + name);
    extent.entries += below.entries;
    extent.bytes += below.bytes;
  }
  return extent;
}

}  // namespace

Result<json> ListAside(const Places& places) {
  DKFS_TRY_ASSIGN(auto found, Find(places));
  json list = json::array();
  for (const AsideEntry& entry : found) {
    std::string path = entry.parent + "/" + entry.name;
    Extent extent = Measure(path);
    list.push_back({{"name", entry.name}, {"path", path}, {"entries", extent.entries}, {"bytes", extent.bytes}});
  }
  return list;
}

Status RemoveAside(const Places& places, const std::string& name) {
  DKFS_TRY_ASSIGN(auto found, Find(places));
  bool any = false;
  for (const AsideEntry& entry : found) {
    if (name != "all" && name != entry.name) continue;
    any = true;
    DKFS_TRY(file::RemoveTree(AT_FDCWD, entry.parent + "/" + entry.name));
  }
  if (!any && name != "all") return Status::Error(ENOENT, "nothing named '" + name + "' was moved aside");
  return Status::Ok();
}

}  // namespace dkfs
