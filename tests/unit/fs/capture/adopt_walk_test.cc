#include "fs/capture/adopt_walk.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include "store/base/fault.h"
#include "tests/support/temp_dir.h"

namespace dkfs::test {
namespace {

// Memory does not grow with the number of files: what is stored does not wait for the end of the walk.
TEST(AdoptWalkTest, FingerprintsAreStoredWithTheirBatch) {
  constexpr uint64_t kFiles = 5000;
  TempDir dir;
  ASSERT_EQ(0, mkdirat(dir.fd(), "dir", 0700));
  for (uint64_t i = 0; i < kFiles; ++i) {
    const UniqueFd made(openat(dir.fd(), ("dir/" + std::to_string(i)).c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    ASSERT_TRUE(made);
  }
  auto store = Store::Open(dir / "store", {});
  ASSERT_TRUE(store.ok()) << store.status().ToString();
  Backing backing(UniqueFd(open((dir / "dir").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)), "dir");
  AdoptWalk walk(store->get(), &backing);
  ASSERT_TRUE(Fault::Arm("adopt.record=EIO@2").ok());
  EXPECT_EQ(EIO, walk.Directory("", kRootFile).code());
  ASSERT_TRUE(Fault::Arm("").ok());
  uint64_t stored = 0;
  for (FileId file{0}; file.value < 2 * kFiles; ++file.value) stored += (*store)->GetFingerprint(file).ok() ? 1 : 0;
  EXPECT_GT(stored, 500u);
  EXPECT_LT(stored, kFiles);
}

}  // namespace
}  // namespace dkfs::test
