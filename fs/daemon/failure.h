// Failure: why dkfs cannot go on, as its one line on stderr and its exit code.
#pragma once

#include <string>
#include <utility>

#include "store/base/status.h"

namespace dkfs {

enum ExitCode : int {
  kExitOk = 0,
  kExitOther = 1,
  kExitUsage = 2,
  kExitEnvironment = 3,
  kExitStoreInUse = 4,
  kExitStoreBad = 5,
  kExitWithCommand = 125,  // any failure of dkfs's own when it runs a COMMAND
};

struct Failure {
  int exit_code = kExitOk;
  std::string message;  // without "dkfs: " in front

  bool failed() const { return exit_code != kExitOk; }
  static Failure None() { return {}; }
  static Failure Usage(std::string message) { return {kExitUsage, std::move(message)}; }
  static Failure Environment(std::string message) { return {kExitEnvironment, std::move(message)}; }
  static Failure Environment(const Status& status) { return {kExitEnvironment, status.ToString()}; }
};

}  // namespace dkfs
