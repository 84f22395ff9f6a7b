#include "tests/golden/golden.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace dkfs::golden {
namespace {

namespace fs = std::filesystem;

// Given by the build.
const fs::path kGolden = DKFS_GOLDEN_DIR;

int NumberOf(const std::string& name) { return std::atoi(name.c_str() + 1); }

}  // namespace

std::vector<std::string> GoldenVersions() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(kGolden)) {
    const std::string name = entry.path().filename();
    if (entry.is_directory() && name.starts_with("v")) names.push_back(name);
  }
  std::sort(names.begin(), names.end(), [](const auto& a, const auto& b) { return NumberOf(a) < NumberOf(b); });
  return names;
}

std::map<Seq, std::string> GoldenTrees(const std::string& name) {
  std::map<Seq, std::string> trees;
  for (const auto& entry : fs::directory_iterator(kGolden / name)) {
    if (entry.path().extension() != ".tree") continue;
    std::ifstream in(entry.path());
    std::ostringstream text;
    text << in.rdbuf();
    trees[Seq{std::strtoull(entry.path().stem().c_str() + std::string("seq-").size(), nullptr, 10)}] = text.str();
  }
  return trees;
}

std::string UnpackGolden(const std::string& name, const std::string& to) {
  const std::string archive = kGolden / name / "store.tar.gz";
  const std::string command = "tar --no-same-owner -C '" + to + "' -xzf '" + archive + "'";
  if (std::system(command.c_str()) != 0) return "";  // NOLINT(cert-env33-c): both paths are ours
  return to + "/store";
}

}  // namespace dkfs::golden
