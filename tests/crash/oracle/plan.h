// Which operation comes next: it depends on the seed, the thread, the number and what the thread's model holds, and on
// nothing else, so that a checker repeats it.
#pragma once

#include "tests/crash/oracle/model.h"
#include "tests/crash/oracle/op.h"

namespace dkfs::oracle {

struct Workload {
  uint64_t seed = 1;
  uint32_t threads = 1;
  uint64_t ops = 100;  // of each thread
  // A thread stops at its first failed call, which is in doubt: for failures that last, when the void of what failed
  // behind its record cannot be recorded either.
  bool stops_on_error = false;
};

Op PlanOp(const Workload& workload, uint64_t number, const Model& model);

}  // namespace dkfs::oracle
