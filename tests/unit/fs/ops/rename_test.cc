// Renames that no mount can be brought to.
#include <dirent.h>
#include <gtest/gtest.h>

#include "tests/unit/fs/ops/served_dir.h"

namespace dkfs {
namespace {

using RenameTest = ServedDirTest;

TEST_F(RenameTest, DirectoriesThatLieInEachOtherAreDamage) {
  const FileId d = Find("d"), e = Find("e");
  ASSERT_TRUE(fs_->MakeDir(caller_, d, "below", 0755).ok());  // its backing directory is prepared
  ASSERT_TRUE(fs_->MakeDir(caller_, kRootFile, "moved", 0755).ok());
  RecordBuilder circle;
  for (const auto& [name, dir, into] : {std::tuple("d", d, e), std::tuple("e", e, d)}) {
    Result<NameValue> found = store_->Lookup(kRootFile, name);
    ASSERT_TRUE(found.ok());
    circle.NameGone(kRootFile, found->entry, name);
    circle.Name(into, store_->NewEntry(), name, dir, DT_DIR);
  }
  ASSERT_TRUE(store_->Append(circle).ok());
  EXPECT_EQ(fs_->Rename(caller_, kRootFile, "moved", d, "moved", 0).code(), EUCLEAN);
}

}  // namespace
}  // namespace dkfs
