#include "store/base/scheduling.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <functional>
#include <thread>

namespace dkfs {
namespace {

void InThread(const std::function<void()>& body) { std::thread(body).join(); }

TEST(SchedulingTest, BulkIsSchedBatch) {
  InThread([] {
    ScheduleInBulk();
    EXPECT_EQ(sched_getscheduler(0), SCHED_BATCH);
  });
  EXPECT_EQ(sched_getscheduler(0), SCHED_OTHER) << "of the calling thread only";
}

TEST(SchedulingTest, NicenessIsKept) {
  InThread([] {
    ASSERT_EQ(setpriority(PRIO_PROCESS, 0, 5), 0);
    ScheduleSoon();
    EXPECT_EQ(sched_getscheduler(0), SCHED_OTHER);
    EXPECT_EQ(getpriority(PRIO_PROCESS, 0), 5);
  });
  InThread([] {
    ASSERT_EQ(setpriority(PRIO_PROCESS, 0, 5), 0);
    ScheduleInBulk();
    EXPECT_EQ(getpriority(PRIO_PROCESS, 0), 5);
  });
}

TEST(SchedulingTest, AChosenPolicyIsKept) {
  InThread([] {
    struct sched_param param {};
    ASSERT_EQ(sched_setscheduler(0, SCHED_IDLE, &param), 0);
    ScheduleSoon();
    EXPECT_EQ(sched_getscheduler(0), SCHED_IDLE);
    ScheduleInBulk();
    EXPECT_EQ(sched_getscheduler(0), SCHED_IDLE);
  });
}

TEST(SchedulingTest, WhenIdleIsNice) {
  InThread([] {
    ScheduleWhenIdle(gettid(), true);
    EXPECT_EQ(getpriority(PRIO_PROCESS, 0), 19);
  });
}

}  // namespace
}  // namespace dkfs
