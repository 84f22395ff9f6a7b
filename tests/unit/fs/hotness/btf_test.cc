// Whose types the probes are fitted to, and what a mirror may send: tried against a local HTTP server.
#include <bpf/btf.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>

#include "fs/hotness/btf_mirror.h"
#include "fs/hotness/btf_source.h"
#include "fs/hotness/probes.h"
#include "store/base/unique_fd.h"

namespace dkfs {
namespace {

namespace fs = std::filesystem;

constexpr const char* kRelease = "6.1.0-test";

struct BtfDeleter {
  void operator()(btf* types) const { btf__free(types); }
};

// Small types that pass for a kernel's.
std::string KernelTypes() {
  std::unique_ptr<btf, BtfDeleter> types(btf__new_empty());
  for (const char* name : {"task_struct", "inode", "super_block", "address_space"}) {
    EXPECT_GT(btf__add_struct(types.get(), name, 0), 0);
  }
  uint32_t size = 0;
  const void* data = btf__raw_data(types.get(), &size);
  return {static_cast<const char*>(data), size};
}

void Put(const fs::path& path, const std::string& content) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << content;
}

// btf_server.py, from start to end of the tests.
class Mirror {
 public:
  explicit Mirror(const fs::path& types) {
    int to[2], from[2];
    if (pipe(to) != 0 || pipe(from) != 0) return;
    pid_ = fork();
    if (pid_ == 0) {
      dup2(to[0], 0);
      dup2(from[1], 1);
      for (int fd : {to[0], to[1], from[0], from[1]}) close(fd);
      const char* python = std::getenv("PYTHON");
      if (python == nullptr) python = "/usr/bin/python3";
      execl(python, python, DKFS_BTF_SERVER, types.c_str(), kRelease, nullptr);
      _exit(127);
    }
    close(to[0]);
    close(from[1]);
    stdin_.reset(to[1]);
    UniqueFd out(from[0]);
    char text[16] = {};
    size_t n = 0;
    for (ssize_t got = 1; got > 0 && n < sizeof text - 1 && std::string(text).find('\n') == std::string::npos;) {
      got = read(out.get(), text + n, sizeof text - 1 - n);
      if (got > 0) n += static_cast<size_t>(got);
    }
    port_ = std::atoi(text);
  }
  ~Mirror() {
    stdin_.reset();  // it ends
    if (pid_ > 0) waitpid(pid_, nullptr, 0);
  }
  int port() const { return port_; }

 private:
  pid_t pid_ = -1;
  UniqueFd stdin_;
  int port_ = 0;
};

class BtfTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = fs::path(testing::TempDir()) / ("dkfs-btf-test." + std::to_string(getpid()));
    Put(folder_ / "kernel.btf", KernelTypes());
    mirror_ = new Mirror(folder_ / "kernel.btf");
    ASSERT_GT(mirror_->port(), 0) << "the server did not start";
    setenv("no_proxy", "127.0.0.1", 1);
  }
  static void TearDownTestSuite() {
    delete mirror_;
    mirror_ = nullptr;
    fs::remove_all(folder_);
  }
  void SetUp() override {
    system_ = {(folder_ / "none").string(), kRelease, "x86_64", "testos", "1.0"};
    options_.cache = (folder_ / testing::UnitTest::GetInstance()->current_test_info()->name()).string();
  }
  Result<std::string> Find() { return FindBtf(options_, system_, never_); }
  Result<std::string> FindFrom(const std::string& kind) {
    options_.mirror = "http://127.0.0.1:" + std::to_string(mirror_->port()) + "/" + kind;
    return Find();
  }
  std::string Cached() const { return options_.cache + "/" + kRelease + ".btf"; }
  // Refused, and nothing is left in the cache.
  void ExpectRefused(const std::string& kind, int code) {
    auto found = FindFrom(kind);
    EXPECT_FALSE(found.ok()) << kind;
    EXPECT_EQ(code, found.code()) << kind << ": " << found.status().ToString();
    EXPECT_FALSE(fs::exists(options_.cache) && !fs::is_empty(options_.cache)) << kind;
  }

  static fs::path folder_;
  static Mirror* mirror_;
  const std::atomic<bool> never_{false};
  BtfOptions options_;
  BtfSystem system_;
};
fs::path BtfTest::folder_;
Mirror* BtfTest::mirror_ = nullptr;

TEST_F(BtfTest, AGivenFileComesFirst) {
  system_.kernel_btf = (folder_ / "kernel.btf").string();
  options_.file = (folder_ / "kernel.btf").string();
  auto found = Find();
  ASSERT_TRUE(found.ok()) << found.status().ToString();
  EXPECT_EQ(options_.file, *found);
}

TEST_F(BtfTest, AGivenFileThatIsNoneIsAnError) {
  Put(folder_ / "bad.btf", "nothing");
  options_.file = (folder_ / "bad.btf").string();
  EXPECT_FALSE(Find().ok());
  options_.file = (folder_ / "missing.btf").string();
  EXPECT_FALSE(Find().ok());
}

TEST_F(BtfTest, TheKernelsOwnIsSpelledEmpty) {
  system_.kernel_btf = (folder_ / "kernel.btf").string();
  auto found = Find();
  ASSERT_TRUE(found.ok());
  EXPECT_EQ("", *found);
}

TEST_F(BtfTest, TheCacheIsByRelease) {
  Put(Cached(), KernelTypes());
  auto found = Find();
  ASSERT_TRUE(found.ok()) << found.status().ToString();
  EXPECT_EQ(Cached(), *found);
  system_.release = "5.4.0-other";
  EXPECT_EQ(ENOENT, Find().code());
}

TEST_F(BtfTest, NothingIsFetchedUnlessAskedFor) { EXPECT_EQ(ENOENT, Find().code()); }

TEST_F(BtfTest, AGoodArchiveIsKept) {
  auto found = FindFrom("good");
  ASSERT_TRUE(found.ok()) << found.status().ToString();
  EXPECT_EQ(Cached(), *found);
  EXPECT_TRUE(CheckBtf(Cached()).ok());
  options_.mirror.clear();
  EXPECT_TRUE(Find().ok()) << "the cache alone is enough now";
}

TEST_F(BtfTest, ABrokenCacheIsFetchedAgain) {
  Put(Cached(), "broken");
  EXPECT_FALSE(Find().ok());
  auto found = FindFrom("good");
  ASSERT_TRUE(found.ok()) << found.status().ToString();
  EXPECT_TRUE(CheckBtf(Cached()).ok());
}

TEST_F(BtfTest, ACutArchiveIsRefused) { ExpectRefused("cut", EBADMSG); }
TEST_F(BtfTest, AFlippedArchiveIsRefused) { ExpectRefused("flipped", EBADMSG); }
TEST_F(BtfTest, AnEmptyAnswerIsRefused) {
  auto found = FindFrom("empty");
  EXPECT_FALSE(found.ok());
  EXPECT_FALSE(fs::exists(Cached()));
}
TEST_F(BtfTest, APageInsteadOfAnArchiveIsRefused) { ExpectRefused("page", EBADMSG); }
TEST_F(BtfTest, AnArchiveOfSomethingElseIsRefused) { ExpectRefused("elsewhere", ENOENT); }
TEST_F(BtfTest, ALinkInAnArchiveIsNotFollowed) { ExpectRefused("link", ENOENT); }
TEST_F(BtfTest, AnArchiveWithoutTypesIsRefused) {
  auto found = FindFrom("notypes");
  EXPECT_FALSE(found.ok());
  EXPECT_FALSE(fs::exists(Cached()));
}
TEST_F(BtfTest, AnArchiveThatUnpacksToTooMuchIsRefused) { ExpectRefused("bomb", EFBIG); }
TEST_F(BtfTest, AnAnswerThatIsTooLargeIsRefused) { ExpectRefused("huge", EFBIG); }
TEST_F(BtfTest, ATransferThatEndsEarlyIsRefused) { ExpectRefused("short", EIO); }
TEST_F(BtfTest, ARedirectionToAFileIsRefused) { ExpectRefused("redirect", EIO); }
TEST_F(BtfTest, AnUnknownKernelIsNotThere) { ExpectRefused("no-such-kind", ENOENT); }

TEST_F(BtfTest, NoMirrorAnswers) {
  options_.mirror = "http://127.0.0.1:1/";
  EXPECT_EQ(EIO, Find().code());
}

TEST_F(BtfTest, AReleaseCannotLeaveTheCache) {
  options_.mirror = "http://127.0.0.1:1/";
  system_.release = "../../etc/x";
  EXPECT_EQ(EINVAL, Find().code());
}

TEST_F(BtfTest, AStoppedDaemonWaitsForNoDownload) {
  options_.mirror = "http://127.0.0.1:" + std::to_string(mirror_->port()) + "/good";
  const std::atomic<bool> stopped{true};
  EXPECT_EQ(ECANCELED, FindBtf(options_, system_, stopped).code());
}

}  // namespace
}  // namespace dkfs
