// Changes that were recorded, and that the backing file did not take.
#include <gtest/gtest.h>

#include "tests/unit/fs/ops/served_dir.h"

namespace dkfs {
namespace {

class UndoTest : public ServedDirTest {
 protected:
  void SetUp() override {
    ServedDirTest::SetUp();
    CaptureAll();
    const std::string byte(1, 'a');  // it is open and synced now, so that the passes below are those of one write
    ASSERT_TRUE(fs_->Write(caller_, Find("a"), AsBytes(byte), 0, false, false).ok());
  }
  // Half of it comes into the backing file.
  int TornWrite(const std::string& bytes, const std::string& more_faults) {
    EXPECT_TRUE(Fault::Arm("file.write=short@2,file.write=EIO@3" + more_faults).ok());
    const int code = fs_->Write(caller_, Find("a"), AsBytes(bytes), 0, false, false).code();
    EXPECT_TRUE(Fault::Arm("").ok());
    return code;
  }
};

TEST_F(UndoTest, ATornWriteHasChangedNothing) {
  EXPECT_EQ(TornWrite(std::string(4096, 'x'), ""), EIO);
  EXPECT_NE(Backed("a"), std::string(kBytes, 'a'));
  EXPECT_EQ(Read(Find("a")), std::string(kBytes, 'a'));
}

TEST_F(UndoTest, ATornWriteThatCannotBeVoidedIsDone) {
  EXPECT_EQ(TornWrite(std::string(4096, 'x'), ",store.append=ENOSPC@2"), EIO);
  EXPECT_EQ(Read(Find("a")), std::string(4096, 'x') + std::string(kBytes - 4096, 'a'));
}

}  // namespace
}  // namespace dkfs
