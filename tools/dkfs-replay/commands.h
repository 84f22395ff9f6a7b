// The subcommands of dkfs-replay. Each takes its arguments without its own name and answers the exit code.
#pragma once

#include <string>
#include <vector>

#include "store/base/status.h"

namespace dkfs::tool {

enum Exit { kOk = 0, kOther = 1, kUsage = 2, kEnvironment = 3, kInUse = 4, kDamaged = 5 };

using Arguments = std::vector<std::string>;
int Restore(const Arguments& arguments);
int VerifyStore(const Arguments& arguments);
int Reindex(const Arguments& arguments);

// Thrown by option parsing only, caught in main: what is wrong with the command line.
struct UsageError {
  std::string text;
};

int ExitCode(int code);  // for an errno
// Prints one line, "dkfs-replay: ...", and answers the exit code for the error.
int Fail(const Status& status);
void Complain(const std::string& line);

}  // namespace dkfs::tool
