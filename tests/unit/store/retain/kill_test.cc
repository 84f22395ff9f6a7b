// Killed at any point of retention's work, opened again: the same answers, nothing left behind.
#include <sys/wait.h>
#include <unistd.h>

#include "store/base/fault.h"
#include "tests/unit/store/retain/model.h"

namespace dkfs::retain_test {
namespace {

using std::chrono::seconds;

RetainOptions Options() {
  RetainOptions options;
  options.retain = seconds(30);
  return options;
}

// Runs in a process of its own, which the fault point in DKFS_FAULTS ends.
TEST(RetainKill, DISABLED_Victim) {
  const char* path = getenv("RETAIN_PATH");
  if (path == nullptr) GTEST_SKIP() << "started by another test only";
  FakeTime time;
  time.ns = std::stoull(getenv("RETAIN_TIME"));
  Rig rig(path, &time, Options());
  ASSERT_OK(rig.Open());
  rig.Settle();
  time.Pass(seconds(40));  // all history leaves the window
  rig.retainer->Tick();
  ASSERT_OK(Fault::ArmFromEnvironment());
  rig.Settle();
}

// True when the victim was killed.
bool RunVictim(const std::string& path, const FakeTime& time, const std::string& faults) {
  const pid_t child = fork();
  if (child == 0) {
    setenv("RETAIN_PATH", path.c_str(), 1);
    setenv("RETAIN_TIME", std::to_string(time.ns).c_str(), 1);
    setenv("DKFS_FAULTS", faults.c_str(), 1);
    execl("/proc/self/exe", "retain_test", "--gtest_filter=RetainKill.DISABLED_Victim",
          "--gtest_also_run_disabled_tests", "--gtest_brief=1", nullptr);
    _exit(127);
  }
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

class RetainKillAt : public testing::TestWithParam<const char*> {};

TEST_P(RetainKillAt, AnswersAreTheSameAndNothingIsLeft) {
  FakeTime time;
  const std::string path = FreshDir(std::string("kill-") + GetParam());
  Rig rig(path, &time, Options());
  ASSERT_OK(rig.Open());
  Model model(&rig, 99);
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 40; ++i) model.Change();
    rig.retainer->Tick();
    time.Pass(seconds(12));
    if (round < 2) rig.Settle();
  }
  rig.retainer->Tick();
  ASSERT_OK(rig.journal->Sync(kLatest));
  ASSERT_OK(rig.index->Flush(rig.journal.get()));
  rig.Drop();
  ASSERT_TRUE(RunVictim(path, time, GetParam())) << "the point was never passed";
  time.Pass(seconds(60));
  ASSERT_OK(rig.Open());
  model.CheckFrom(rig.retainer->stats().horizon, "after the kill");
  if (HasFatalFailure()) return;
  EXPECT_TRUE(rig.Files(".pack.tmp").empty());
  rig.Settle();
  model.CheckFrom(rig.retainer->stats().horizon, "after going on");
  uint64_t on_disk = 0;
  for (const std::string& name : rig.Files(".pack")) {
    on_disk += static_cast<uint64_t>(Value(file::Stat(AT_FDCWD, rig.journal_path() + "/" + name)).st_size);
  }
  EXPECT_EQ(on_disk, rig.PackBytes());
  EXPECT_TRUE(rig.journal->SealedSegments().empty());
  const Seq horizon = rig.retainer->stats().horizon;
  rig.Drop();
  ASSERT_OK(rig.Open(true));
  model.CheckFrom(horizon, "index rebuilt");
}

INSTANTIATE_TEST_SUITE_P(Points, RetainKillAt,
                         testing::Values("retain.pack=kill@1", "retain.pack=kill@2", "retain.fold=kill@1",
                                         "retain.drop=kill@1", "retain.drop=kill@2", "retain.publish=kill@1",
                                         "retain.repoint=kill@1", "retain.flush=kill@1", "retain.delete=kill@1",
                                         "index.flush=kill@1", "index.flush=kill@2"));

}  // namespace
}  // namespace dkfs::retain_test
