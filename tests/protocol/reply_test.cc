// Each request is answered exactly once, whatever happens to it on the way. (FakeKernel checks that in its destructor.)
#include <gtest/gtest.h>

#include "tests/protocol/fake_kernel.h"
#include "tests/protocol/stub_file_system.h"

namespace dkfs {
namespace {

class ReplyTest : public testing::Test {
 protected:
  void SetUp() override {
    ResetWorld();
    kernel_ = std::make_unique<FakeKernel>(file_system_.get(), SessionOptions{});
    kernel_->Init();
  }
  // Until so many have arrived.
  static void AwaitBarriers(size_t count) {
    while (true) {
      {
        std::lock_guard lock(World().mutex);
        if (World().barriers.size() == count) return;
      }
      std::this_thread::yield();  // whoever brings them needs the mutex
    }
  }
  std::unique_ptr<FileSystem> file_system_ = MakeStubFileSystem();
  std::unique_ptr<FakeKernel> kernel_;
};

TEST_F(ReplyTest, ErrnoReachesTheCaller) {
  World().fail = Status::Error(ENOSPC, "no room");
  EXPECT_EQ(ENOSPC, kernel_->Call(FUSE_WRITE, 1, Raw(fuse_write_in{0, 0, 3, 0, 0, 0, 0}) + "abc").error);
}

TEST_F(ReplyTest, DamageIsEio) {
  World().fail = Status::Corruption("block 3");
  EXPECT_EQ(EIO, kernel_->Call(FUSE_READ, 1, Raw(fuse_read_in{0, 0, 10, 0, 0, 0, 0})).error);
}

TEST_F(ReplyTest, ExceptionIsEio) {
  World().explode = true;
  EXPECT_EQ(EIO, kernel_->Call(FUSE_GETATTR, 1, Raw(fuse_getattr_in{})).error);
  EXPECT_EQ(0, kernel_->Call(FUSE_GETATTR, 1, Raw(fuse_getattr_in{})).error);
}

TEST_F(ReplyTest, ForgottenRequestIsEio) {
  World().drop_barriers = true;
  EXPECT_EQ(EIO, kernel_->Call(FUSE_FSYNC, 1, Raw(fuse_fsync_in{})).error);
}

TEST_F(ReplyTest, FsyncIsAnsweredByItsBarrierAndBlocksNoThread) {
  World().hold_barriers = true;
  std::vector<uint64_t> held;
  for (int i = 0; i < 50; ++i) held.push_back(kernel_->Send(FUSE_FSYNC, 1, Raw(fuse_fsync_in{})));
  AwaitBarriers(held.size());  // more than there are threads
  EXPECT_EQ(0, kernel_->Call(FUSE_GETATTR, 1, Raw(fuse_getattr_in{})).error);
  for (uint64_t unique : held) EXPECT_FALSE(kernel_->IsAnswered(unique));
  for (auto& done : World().barriers) done(Status::Ok());
  World().barriers.clear();
  for (uint64_t unique : held) EXPECT_EQ(0, kernel_->Await(unique).error);
}

TEST_F(ReplyTest, FailedBarrierFailsFsync) {
  World().hold_barriers = true;
  uint64_t unique = kernel_->Send(FUSE_FSYNCDIR, 1, Raw(fuse_fsync_in{}));
  AwaitBarriers(1);
  World().barriers.front()(Status::Error(EIO));
  World().barriers.clear();
  EXPECT_EQ(EIO, kernel_->Await(unique).error);
}

TEST_F(ReplyTest, SessionWaitsForOwedAnswers) {
  World().hold_barriers = true;
  uint64_t unique = kernel_->Send(FUSE_FSYNC, 1, Raw(fuse_fsync_in{}));
  AwaitBarriers(1);
  std::thread later([] {
    std::lock_guard lock(World().mutex);
    World().barriers.front()(Status::Ok());
    World().barriers.clear();
  });
  kernel_->session()->Exit();
  kernel_->Await(unique);
  later.join();
}

TEST_F(ReplyTest, UnknownOpcodeIsEnosys) { EXPECT_EQ(ENOSYS, kernel_->Call(2000, 1, "").error); }
TEST_F(ReplyTest, OpcodeBeyondAllIsEnosys) { EXPECT_EQ(ENOSYS, kernel_->Call(0xFFFFFFF0u, 1, "xyz").error); }

TEST_F(ReplyTest, OpenAndFlushAreEnosysSoThatTheKernelStopsAsking) {
  EXPECT_EQ(ENOSYS, kernel_->Call(FUSE_OPEN, 1, Raw(fuse_open_in{})).error);
  EXPECT_EQ(ENOSYS, kernel_->Call(FUSE_FLUSH, 1, Raw(fuse_flush_in{})).error);
}

TEST_F(ReplyTest, OpendirIsEnosysSoThatTheKernelStopsAsking) {
  EXPECT_EQ(ENOSYS, kernel_->Call(FUSE_OPENDIR, 1, Raw(fuse_open_in{})).error);
}

TEST_F(ReplyTest, InterruptIsEnosysSoThatTheKernelStopsAsking) {
  EXPECT_EQ(ENOSYS, kernel_->Call(FUSE_INTERRUPT, 0, Raw(fuse_interrupt_in{2})).error);
}

TEST_F(ReplyTest, TruncatedBodiesAreEio) {
  for (uint32_t opcode = 1; opcode < 60; ++opcode) {
    if (opcode == FUSE_FORGET || opcode == FUSE_BATCH_FORGET || opcode == FUSE_DESTROY) continue;
    int error = kernel_->Call(opcode, 1, "").error;
    bool bodiless = opcode == FUSE_READLINK || opcode == FUSE_STATFS || opcode == FUSE_INIT;
    if (bodiless) continue;
    EXPECT_TRUE(error == EIO || error == ENOSYS) << opcode << ": " << error;
  }
}

TEST_F(ReplyTest, CountsBeyondTheRequestAreEio) {
  EXPECT_EQ(EIO, kernel_->Call(FUSE_WRITE, 1, Raw(fuse_write_in{0, 0, 4000, 0, 0, 0, 0}) + "abc").error);
  EXPECT_EQ(EIO, kernel_->Call(FUSE_SETXATTR, 1, Raw(fuse_setxattr_in{4000, 0, 0, 0}) + Name("user.a") + "v").error);
}

TEST_F(ReplyTest, LengthThatLiesIsEio) {
  fuse_in_header header{};
  header.len = 4000;
  header.opcode = FUSE_LOOKUP;
  header.unique = 999;
  header.nodeid = 1;
  kernel_->SendBytes(Raw(header) + Name("a"));
  EXPECT_EQ(EIO, kernel_->Await(999).error);
  EXPECT_EQ(0, kernel_->Call(FUSE_GETATTR, 1, Raw(fuse_getattr_in{})).error);
  kernel_->ForgiveUnexpected();
}

TEST_F(ReplyTest, GarbageDoesNotEndTheSession) {
  kernel_->SendBytes("short");
  kernel_->SendBytes(std::string(39, '\xFF'));
  EXPECT_EQ(0, kernel_->Call(FUSE_GETATTR, 1, Raw(fuse_getattr_in{})).error);
}

TEST_F(ReplyTest, NameWithoutNulEndsAtTheRequest) {
  Answer answer = kernel_->Call(FUSE_LOOKUP, 1, std::string(200, 'n'));
  EXPECT_EQ(0, answer.error);
  EXPECT_EQ(0u, answer.As<fuse_entry_out>().nodeid);
}

TEST_F(ReplyTest, RequestsAreCountedByOperation) {
  kernel_->Call(FUSE_GETATTR, 1, Raw(fuse_getattr_in{}));
  kernel_->Call(FUSE_GETATTR, 7, Raw(fuse_getattr_in{}));
  RequestSnapshot all = kernel_->session()->Requests();
  const OpSnapshot& getattr = all[static_cast<size_t>(FuseOp::kGetAttr)];
  EXPECT_EQ(2u, getattr.requests);
  EXPECT_EQ(1u, getattr.errors);
  EXPECT_GT(getattr.total_ns, 0u);
  EXPECT_EQ("getattr", FuseOpName(FuseOp::kGetAttr));
  EXPECT_EQ("lseek", FuseOpName(FuseOp::kSeek));
}

}  // namespace
}  // namespace dkfs
