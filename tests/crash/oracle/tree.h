// A directory tree as comparable rows: what the model says and what a mount or a directory shows meet here.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "store/base/status.h"

namespace dkfs::oracle {

struct Row {
  std::string meta;                         // type, mode, owner, link group, xattrs, target
  std::optional<int64_t> mtime_ns;          // of the model: only when the workload set it
  bool has_content = false;                 // regular files and regions of shared files
  uint64_t size = 0, sum = 0;               // of the content
  int64_t node = 0;                         // of the model: the same file in all its states
  std::shared_ptr<const std::string> data;  // the content

  void SetContent(std::shared_ptr<const std::string> content);
};
using Rows = std::map<std::string, Row>;

// The layout that all threads find; see Setup.
inline constexpr const char* kShared = "shared";
inline constexpr int kSharedFiles = 2;
inline constexpr uint64_t kRegionBytes = 64 << 10;  // of each thread in each shared file

std::string HomeOf(uint32_t thread);                     // "t3": a directory
std::string PrefixOf(uint32_t thread);                   // "shared/t3_": names in the shared directory
std::string SharedFile(int number);                      // "shared/d1"
std::string RegionRow(int number, uint32_t thread);      // "shared/d1[3]"
std::string RegionContent(int number, uint32_t thread);  // at the beginning
std::string Describe(const Row& row);                    // one line

// Makes what the workload starts from in an empty directory, and syncs it.
Status Setup(const std::string& dir, uint32_t threads);
// Reads everything below `dir`. Shared files are cut into regions. EIO and the like end it.
Result<Rows> ReadTree(const std::string& dir, uint32_t threads);
// The thread a path belongs to; nullopt: to the setup, or to nobody.
std::optional<uint32_t> OwnerOf(const std::string& path, uint32_t threads);

}  // namespace dkfs::oracle
