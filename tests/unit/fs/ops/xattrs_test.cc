// Extended attributes that the backing directory gets later.
#include <gtest/gtest.h>

#include "tests/unit/fs/ops/served_dir.h"

namespace dkfs {
namespace {

using XattrsTest = ServedDirTest;

TEST_F(XattrsTest, OneRemovedBeforeTheFileIsTakenAsItStandsGoesFromIt) {
  const FileId file = Find("a");
  ASSERT_TRUE(fs_->SetXattr(caller_, file, "user.k", "v", 0, false).ok());
  ASSERT_TRUE(hydrator_->WriteTimesAndFingerprints().ok());
  Drop();
  Serve(/*trusted=*/true);
  ASSERT_TRUE(fs_->RemoveXattr(caller_, file, "user.k").ok());
  ASSERT_EQ(inodes_->size(), 0u);
  std::thread writing;
  {
    ExclusiveLock t(tree_lock_);
    writing = std::thread([&] { EXPECT_TRUE(hydrator_->WriteTimesAndFingerprints().ok()); });
    while (inodes_->size() == 0) std::this_thread::yield();  // until it waits for the tree
    Result<InodeRef> inode = inodes_->Get(file);
    ASSERT_TRUE(inode.ok());
    ExclusiveLock l((*inode)->lock);
    EXPECT_TRUE(hydrator_->Prepare(**inode, "a").ok());
    EXPECT_EQ((*inode)->presence, Presence::kPresent);
  }
  writing.join();
  Result<std::vector<std::pair<std::string, std::string>>> left = backing_->ListXattrs("a");
  ASSERT_TRUE(left.ok());
  EXPECT_TRUE(left->empty());
}

}  // namespace
}  // namespace dkfs
