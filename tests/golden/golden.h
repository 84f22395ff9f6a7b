// The golden stores that lie in the repository.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "store/format/ids.h"

namespace dkfs::golden {

std::vector<std::string> GoldenVersions();                        // "v1", ..., oldest first
std::map<Seq, std::string> GoldenTrees(const std::string& name);  // the texts of the trees kept with it
// Unpacks the store of one version into the existing directory `to`; its path. "" when it cannot be unpacked.
std::string UnpackGolden(const std::string& name, const std::string& to);

}  // namespace dkfs::golden
