// How a thread competes for the CPUs. All of this is best effort: a kernel that refuses or does not know it leaves the
// thread as it was, a little slower. Any thread; whoever started dkfs under a policy of their own (chrt) keeps it.
#pragma once

#include <sys/types.h>

namespace dkfs {

// The calling thread asks for the shortest slice (0.1 ms), so that EEVDF (Linux 6.12) runs it soon after it wakes where
// others use the CPUs: somebody waits for its answer. Its share of them stays as it is. Threads and processes begun by
// it inherit that.
void ScheduleSoon();

// The calling thread interrupts nobody when it wakes (SCHED_BATCH): work in bulk that somebody will wait for later.
void ScheduleInBulk();

// While it lives the thread that made it goes before others (15 steps of niceness, as far as that is allowed): many
// wait for what it does.
class ScheduleFirst {
 public:
  ScheduleFirst();
  ~ScheduleFirst();
  ScheduleFirst(const ScheduleFirst&) = delete;
  ScheduleFirst& operator=(const ScheduleFirst&) = delete;

 private:
  const int nice_;
};

// `thread` always gives way (nice 19 and the idle i/o class), or no longer.
void ScheduleWhenIdle(pid_t thread, bool idle);

}  // namespace dkfs
