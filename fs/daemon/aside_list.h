// What was moved aside because no retained version explained it: listing and removing it.
#pragma once

#include <nlohmann/json.hpp>

#include "fs/daemon/daemon.h"
#include "store/base/status.h"

namespace dkfs {

// [{"name": TIME, "path": ..., "entries": N, "bytes": N}], oldest first. Looks in STORE/aside and beside DIR.
Result<nlohmann::json> ListAside(const Places& places);
// Removes one by its name, or every one with "all". ENOENT: none of that name.
Status RemoveAside(const Places& places, const std::string& name);

}  // namespace dkfs
