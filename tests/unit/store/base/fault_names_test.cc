// Every fault point named in the sources is in Fault::Names() and every name there is passed somewhere: the crash tests
// enumerate that list, and an unlisted point aborts a debug build as soon as anything is armed.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
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
  static const std::regex kPoint(
      R"re((?:Pass|PassTransfer|PassSync|Guard|Enter|Do|DoSync|Change|GuardSync)\(\s*"([a-z_]+\.[a-z_]+)")re");
  std::vector<std::string> points;
  for (std::sregex_iterator it(text.begin(), text.end(), kPoint), end; it != end; ++it) points.push_back((*it)[1]);
  return points;
}

// Each point in the sources, with one file that passes it.
std::map<std::string, std::string> PassedPoints() {
  std::map<std::string, std::string> passed;
  for (const char* folder : {"store", "fs", "tools"}) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(std::string(DKFS_SOURCE_DIR "/") + folder)) {
      if (entry.path().extension() != ".cc" && entry.path().extension() != ".h") continue;
      for (const std::string& point : PointsIn(Read(entry.path()))) passed[point] = entry.path();
    }
  }
  return passed;
}

TEST(FaultNamesTest, EveryPointInTheSourcesIsListed) {
  const auto names = Fault::Names();
  for (const auto& [point, path] : PassedPoints()) {
    EXPECT_NE(std::find(names.begin(), names.end(), point), names.end()) << point << " in " << path;
  }
}

TEST(FaultNamesTest, EveryListedPointIsPassedInTheSources) {
  const auto passed = PassedPoints();
  for (std::string_view name : Fault::Names()) EXPECT_TRUE(passed.contains(std::string(name))) << name;
}

}  // namespace
}  // namespace dkfs
