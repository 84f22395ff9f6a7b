// What `dkfsctl top` and `explain` show, in JSON and in words.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "fs/daemon/profiling.h"

namespace dkfs {

// `dir`: the mount point, in front of every path.
nlohmann::json TopReport(const std::string& dir, const std::vector<FileProfile>& files);
nlohmann::json ExplainReport(const std::string& dir, const FileProfile& file, bool adapts);
// For people. Both take what the functions above made, perhaps in another version. `lines`, `columns`: of the terminal.
std::string TopText(const nlohmann::json& files, size_t lines, size_t columns);
std::string ExplainText(const nlohmann::json& file);

}  // namespace dkfs
