// What dkfs and the kernel agree on. The promises rest on some of these: see the reasons in fs/fuse/session.cc.
#include <gtest/gtest.h>

#include "fs/fuse/ring_abi.h"
#include "tests/protocol/fake_kernel.h"
#include "tests/protocol/stub_file_system.h"

namespace dkfs {
namespace {

class NegotiationTest : public testing::Test {
 protected:
  void SetUp() override { ResetWorld(); }
  fuse_init_out Negotiate(bool writeback, uint64_t offered = ~uint64_t{0}) {
    SessionOptions options;
    options.writeback_cache = writeback;
    FakeKernel kernel(file_system_.get(), options);
    return kernel.Init(offered);
  }
  std::unique_ptr<FileSystem> file_system_ = MakeStubFileSystem();
};

TEST_F(NegotiationTest, WantedFlagsAreOn) {
  fuse_init_out out = Negotiate(false);
  EXPECT_EQ(7u, out.major);
  for (uint32_t flag : {FUSE_EXPLICIT_INVAL_DATA, FUSE_ASYNC_READ, FUSE_ASYNC_DIO, FUSE_PARALLEL_DIROPS,
                        FUSE_DO_READDIRPLUS, FUSE_READDIRPLUS_AUTO, FUSE_CACHE_SYMLINKS, FUSE_DONT_MASK, FUSE_POSIX_ACL,
                        FUSE_HANDLE_KILLPRIV_V2, FUSE_MAX_PAGES, FUSE_BIG_WRITES, FUSE_SETXATTR_EXT}) {
    EXPECT_EQ(flag, out.flags & flag) << std::hex << flag;
  }
}

TEST_F(NegotiationTest, UnwantedFlagsAreOff) {
  fuse_init_out out = Negotiate(false);
  for (uint32_t flag :
       {FUSE_AUTO_INVAL_DATA, FUSE_ATOMIC_O_TRUNC, FUSE_POSIX_LOCKS, FUSE_FLOCK_LOCKS, FUSE_WRITEBACK_CACHE,
        FUSE_SPLICE_READ, FUSE_SPLICE_WRITE, FUSE_SPLICE_MOVE, FUSE_HANDLE_KILLPRIV}) {
    EXPECT_EQ(0u, out.flags & flag) << std::hex << flag;
  }
}

TEST_F(NegotiationTest, WritebackCacheOnlyWithOrderFsync) {
  EXPECT_NE(0u, Negotiate(true).flags & FUSE_WRITEBACK_CACHE);
}

TEST_F(NegotiationTest, WritesAreOneMiB) {
  fuse_init_out out = Negotiate(false);
  EXPECT_EQ(1u << 20, out.max_write);
  EXPECT_EQ(256, out.max_pages);
}

TEST_F(NegotiationTest, OldKernelGetsWhatItOffers) {
  fuse_init_out out = Negotiate(false, FUSE_ASYNC_READ | FUSE_MAX_PAGES);
  EXPECT_EQ(0u, out.flags & ~(FUSE_ASYNC_READ | FUSE_MAX_PAGES | FUSE_BIG_WRITES | FUSE_INIT_EXT));
}

constexpr uint32_t kRing = ring_abi::kInitFlag >> 32;

TEST_F(NegotiationTest, RingIsTakenUpOnlyWhenOfferedAndWanted) {
  SessionOptions options;
  {
    FakeKernel kernel(file_system_.get(), options);
    EXPECT_EQ(0U, kernel.Init().flags2 & kRing);
  }
  options.ring = RingUse::kIfOffered;
  {
    FakeKernel kernel(file_system_.get(), options);
    EXPECT_EQ(0U, kernel.Init(~ring_abi::kInitFlag).flags2 & kRing);
    EXPECT_EQ(0, kernel.Call(FUSE_GETATTR, 1, Raw(fuse_getattr_in{})).error);
    EXPECT_FALSE(kernel.session()->GetTransport().io_uring);
    EXPECT_EQ("the kernel does not offer it", kernel.session()->GetTransport().reason);
  }
}

// The fake kernel takes no place, as a real one may refuse them.
TEST_F(NegotiationTest, RequestsGoOnWhereEveryPlaceIsRefused) {
  SessionOptions options;
  options.ring = RingUse::kIfOffered;
  FakeKernel kernel(file_system_.get(), options);
  const bool taken_up = (kernel.Init().flags2 & kRing) != 0;
  for (int i = 0; i < 100; ++i) EXPECT_EQ(0, kernel.Call(FUSE_GETATTR, 1, Raw(fuse_getattr_in{})).error);
  const Transport transport = kernel.session()->GetTransport();
  EXPECT_EQ(taken_up, transport.io_uring) << transport.reason;  // not where the machine forbids io_uring
  EXPECT_FALSE(transport.reason.empty());
  EXPECT_EQ(0U, transport.ring_requests);
}

TEST_F(NegotiationTest, SessionEndsWhereTheRingIsAMustAndNotOffered) {
  SessionOptions options;
  options.ring = RingUse::kAlways;
  FakeKernel kernel(file_system_.get(), options);
  kernel.Init(~ring_abi::kInitFlag);
  kernel.HangUp();
  EXPECT_EQ(EOPNOTSUPP, kernel.served().code()) << kernel.served().ToString();
}

TEST_F(NegotiationTest, RequestsBeforeInitAreRefused) {
  FakeKernel kernel(file_system_.get(), {});
  EXPECT_EQ(EIO, kernel.Call(FUSE_GETATTR, 1, Raw(fuse_getattr_in{})).error);
  kernel.Init();
  EXPECT_EQ(0, kernel.Call(FUSE_GETATTR, 1, Raw(fuse_getattr_in{})).error);
}

TEST_F(NegotiationTest, SecondInitIsRefused) {
  FakeKernel kernel(file_system_.get(), {});
  kernel.Init();
  EXPECT_EQ(EIO, kernel.Call(FUSE_INIT, 0, Raw(fuse_init_in{7, 38, 0, 0, 0, {}})).error);
}

}  // namespace
}  // namespace dkfs
