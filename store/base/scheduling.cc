#include "store/base/scheduling.h"

#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

namespace dkfs {
namespace {

constexpr uint64_t kShortestSliceNs = 100'000;
constexpr int kStepsFirst = 15;

// The kernel's struct sched_attr, first version; not every libc has it.
struct SchedAttr {
  uint32_t size = sizeof(SchedAttr);
  uint32_t policy = SCHED_OTHER;
  uint64_t flags = 0;
  int32_t nice = 0;
  uint32_t priority = 0;
  uint64_t runtime = 0;  // of SCHED_OTHER and SCHED_BATCH the slice in ns, 0 for the default
  uint64_t deadline = 0;
  uint64_t period = 0;
};
static_assert(sizeof(SchedAttr) == 48);

void Reschedule(uint32_t policy, uint64_t slice_ns) {
  SchedAttr attr;
  if (syscall(SYS_sched_getattr, 0, &attr, sizeof attr, 0) != 0 || attr.policy != SCHED_OTHER) return;
  attr.policy = policy;
  attr.runtime = slice_ns;
  (void)syscall(SYS_sched_setattr, 0, &attr, 0);
}

// linux/ioprio.h is not in every libc's reach: class 3 (idle) in the top bits, "who" 1 is a thread.
constexpr int kIoprioWhoProcess = 1;
constexpr int kIoprioIdle = 3 << 13, kIoprioOfNice = 0;

}  // namespace

void ScheduleSoon() { Reschedule(SCHED_OTHER, kShortestSliceNs); }

void ScheduleInBulk() { Reschedule(SCHED_BATCH, 0); }

ScheduleFirst::ScheduleFirst() : nice_(getpriority(PRIO_PROCESS, 0)) {
  (void)setpriority(PRIO_PROCESS, 0, nice_ - kStepsFirst);
}
ScheduleFirst::~ScheduleFirst() { (void)setpriority(PRIO_PROCESS, 0, nice_); }

void ScheduleWhenIdle(pid_t thread, bool idle) {
  (void)setpriority(PRIO_PROCESS, static_cast<id_t>(thread), idle ? 19 : 0);
  (void)syscall(SYS_ioprio_set, kIoprioWhoProcess, thread, idle ? kIoprioIdle : kIoprioOfNice);
}

}  // namespace dkfs
