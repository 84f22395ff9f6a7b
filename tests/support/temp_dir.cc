#include "tests/support/temp_dir.h"

#include <fcntl.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace dkfs::test {

namespace {

std::string OnDisk() {
  const char* given = std::getenv("DKFS_TEST_DIR");
  return given != nullptr ? given : "/var/tmp";
}

}  // namespace

TempDir::TempDir() : path_(OnDisk() + "/dkfs-XXXXXX") {
  if (mkdtemp(path_.data()) == nullptr) std::abort();
  fd_.reset(open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

TempDir::~TempDir() {
  std::error_code ignored;  // a directory left behind harms no test
  std::filesystem::remove_all(path_, ignored);
}

std::string ContentOf(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return "<missing>";
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

void PutFile(const std::string& path, const std::string& content) {
  std::ofstream out(path, std::ios::binary);
  out << content;
}

}  // namespace dkfs::test
