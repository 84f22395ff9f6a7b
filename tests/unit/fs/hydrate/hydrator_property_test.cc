// Whatever the store holds and whatever happened to the backing directory: after Finish it is the model.
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <random>

#include "tests/unit/fs/hydrate/model.h"

namespace dkfs {
namespace {

namespace stdfs = std::filesystem;

class Play {
 public:
  Play(HydrateModel* m, unsigned seed) : m_(m), random_(seed) {}

  void BuildTree() {
    std::vector<std::string> dirs{""};
    for (int i = 0; i < 12; ++i) {
      const std::string& dir = dirs[Below(dirs.size())];
      const std::string path = (dir.empty() ? "" : dir + "/") + "n" + std::to_string(i);
      switch (Below(6)) {
        case 0:
          m_->MakeDir(path);
          dirs.push_back(path);
          break;
        case 1:
          m_->MakeSpecial(path, S_IFLNK | 0777, "target" + std::to_string(i));
          break;
        case 2:
          if (!files_.empty()) {
            m_->Link(Pick(), path);
            files_.push_back(path);
            break;
          }
          [[fallthrough]];
        default:
          m_->MakeFile(path, Noise(Below(60'000)));
          files_.push_back(path);
          break;
      }
    }
  }
  void ChangeStore() {
    for (size_t n = Below(10); n > 0 && !files_.empty(); --n) {
      if (Below(4) == 0)
        m_->Truncate(Pick(), Below(70'000));
      else
        m_->Write(Pick(), Below(60'000), Noise(1 + Below(20'000)));
    }
  }
  void DamageDir() {
    for (size_t n = Below(8); n > 0; --n) {
      std::vector<stdfs::path> all;
      for (const auto& e : stdfs::recursive_directory_iterator(m_->PathIn(""))) all.push_back(e.path());
      std::sort(all.begin(), all.end());  // each file system lists them in an order of its own
      if (all.empty()) return;
      const stdfs::path path = all[Below(all.size())];
      const stdfs::path other = all[Below(all.size())];
      std::error_code ignored;
      const bool regular = stdfs::is_regular_file(stdfs::symlink_status(path));
      switch (Below(6)) {
        case 0:
          stdfs::remove_all(path);
          break;
        case 1:
          if (regular) stdfs::resize_file(path, Below(70'000));
          break;
        case 2:
          stdfs::rename(path, other, ignored);
          break;
        case 3:
          if (regular) stdfs::create_hard_link(path, path.string() + "x", ignored);
          break;
        case 4:
          stdfs::remove_all(path);
          stdfs::create_directory(path);
          break;
        default:
          if (regular) m_->Damage(path.lexically_relative(m_->PathIn("")), Below(60'000), Noise(Below(9000)));
          break;
      }
    }
  }
  void UseALittle() {
    for (size_t n = Below(4); n > 0 && !files_.empty(); --n) {
      const std::string path = Pick();
      const size_t at = Below(60'000);
      Result<std::string> got = m_->Read(path, at, 5000);
      ASSERT_TRUE(got.ok()) << got.status().ToString();
      const std::string& content = m_->tree[path].content;
      ASSERT_TRUE(*got == (at < content.size() ? content.substr(at, 5000) : "")) << path << " at " << at;
    }
  }
  size_t Below(size_t n) { return random_() % n; }

 private:
  const std::string& Pick() { return files_[Below(files_.size())]; }
  std::string Noise(size_t bytes) {
    std::string out(bytes, '\0');
    if (Below(4) == 0) return out;
    for (char& c : out) c = static_cast<char>(random_());
    return out;
  }
  HydrateModel* const m_;
  std::mt19937 random_;
  std::vector<std::string> files_;
};

TEST(HydratorPropertyTest, AnyDamageIsMadeGood) {
  const char* given = ::getenv("DKFS_SEED");
  const unsigned base = given != nullptr ? static_cast<unsigned>(::atoi(given)) : 1;
  for (unsigned seed = base; seed < base + (given != nullptr ? 1 : 40) && !::testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE("DKFS_SEED=" + std::to_string(seed));
    std::string root = ::testing::TempDir() + "hydrate-p-XXXXXX";
    ASSERT_NE(::mkdtemp(root.data()), nullptr);
    {
      HydrateModel m(root);
      Play play(&m, seed);
      play.BuildTree();
      if (play.Below(4) != 0) m.FillDir();
      for (int mount = 0; mount < 3; ++mount) {
        play.ChangeStore();
        play.DamageDir();
        m.Start(false, play.Below(2) == 0 ? 1 << 30 : 20'000);
        play.UseALittle();
        if (play.Below(2) == 0) {
          size_t polls = 1 + play.Below(20);
          m.hydrator->Finish([&] { return --polls == 0; }).Ignore("cut short on purpose");
        }
        m.Drop();
      }
      m.Start(false);
      const Status done = m.Finish();
      ASSERT_TRUE(done.ok()) << done.ToString();
      m.ExpectComplete();
      m.Start(true);  // and what was written down of it lets the next mount believe
      ASSERT_TRUE(m.Finish().ok());
      EXPECT_EQ(m.hydrator->progress().blocks_verified + m.hydrator->progress().blocks_reconstructed, 0u);
      m.ExpectComplete();
    }
    stdfs::remove_all(root);
  }
}

}  // namespace
}  // namespace dkfs
