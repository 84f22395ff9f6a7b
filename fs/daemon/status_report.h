// The status as dkfsctl shows it, in JSON and in words.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "fs/daemon/daemon.h"

namespace dkfs {

// Numbers are 64-bit integers; times are RFC 3339; null where nothing is known.
nlohmann::json StatusReport(const DaemonReport& report);
// For people, many lines. Takes what StatusReport made, perhaps by another version.
std::string StatusText(const nlohmann::json& status);

}  // namespace dkfs
