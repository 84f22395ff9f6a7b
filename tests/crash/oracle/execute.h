// Runs a workload against a directory: each operation is logged before it begins and after it has ended.
#pragma once

#include <array>
#include <string>

#include "tests/crash/oracle/plan.h"

namespace dkfs::oracle {

// What a mount without its daemon answers: the operation counts as unanswered.
bool MeansDead(int error);
// The calls of one operation. 0, or the errno.
int Execute(const Op& op, uint32_t thread, int root_fd);

struct KillPlan {
  int pid = 0;             // 0: nobody
  uint64_t after_ops = 0;  // ended ones, of all threads
  uint64_t delay_ns = 0;   // and then
};

struct Exercised {
  std::array<uint64_t, static_cast<size_t>(Kind::kCount)> passed{};
  uint64_t ended = 0, failed = 0;
  bool died = false;  // the mount went away
};

// REQUIRES: Setup was done, and Trace is open. Returns when all threads have ended or the mount is dead.
Exercised Run(const Workload& workload, const std::string& dir, const KillPlan& kill);

}  // namespace dkfs::oracle
