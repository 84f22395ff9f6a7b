// The mounts this process sees: /proc/self/mountinfo, parsed.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/base/status.h"

namespace dkfs {

inline constexpr std::string_view kMountType = "fuse.dkfs";

struct MountEntry {
  std::string device;       // "major:minor" of the file system
  std::string root;         // the directory of that file system which is mounted
  std::string mount_point;  // absolute, escapes undone
  std::string type;
  std::string source;
  std::string options;  // of this mount, not of its file system: words of mount(2)
};

// Entries in the order of the file: of two at one mount point the later one covers the earlier. Lines that are not
// understood are left out.
std::vector<MountEntry> ParseMountInfo(std::string_view text);
Result<std::vector<MountEntry>> ReadMountInfo();
// The mount that shows at exactly this path.
std::optional<MountEntry> MountAt(const std::vector<MountEntry>& mounts, const std::string& path);
// The mount that an absolute path without symbolic links lies in.
std::optional<MountEntry> MountOf(const std::vector<MountEntry>& mounts, const std::string& path);
// True when `path` is `dir` or lies below it. Both absolute and normal.
bool IsBelow(std::string_view path, std::string_view dir);

}  // namespace dkfs
