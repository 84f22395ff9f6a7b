// Every fault point named in the sources is in Fault::Names(): the crash tests enumerate that list, and an unlisted
// point aborts a debug build as soon as anything is armed.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>

#include "store/base/fault.h"

namespace dkfs {
namespace {

std::string Read(const std::filesystem::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

std::vector<std::string> PointsIn(const std::string& text) {
  static const std::regex kPoint(R"re((?:Pass|PassTransfer|Guard|Enter|Do)\(\s*"([a-z_]+\.[a-z_]+)")re");
  std::vector<std::string> points;
  for (std::sregex_iterator it(text.begin(), text.end(), kPoint), end; it != end; ++it) points.push_back((*it)[1]);
  return points;
}

TEST(FaultNamesTest, EveryPointInTheSourcesIsListed) {
  const auto names = Fault::Names();
  size_t found = 0;
  for (const char* folder : {"store", "fs", "tools"}) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(std::string(DKFS_SOURCE_DIR "/") + folder)) {
      if (entry.path().extension() != ".cc" && entry.path().extension() != ".h") continue;
      for (const std::string& point : PointsIn(Read(entry.path()))) {
        ++found;
        EXPECT_NE(std::find(names.begin(), names.end(), point), names.end()) << point << " in " << entry.path();
      }
    }
  }
  EXPECT_GE(found, 20u) << "the sources are where they are expected";
}

}  // namespace
}  // namespace dkfs
