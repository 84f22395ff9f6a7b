// dkfs-replay: restore a moment from a store, verify the store, make its index again. Offline; needs no mount.
#include <algorithm>
#include <iostream>

#include "store/base/printable.h"
#include "store/base/standard_fds.h"
#include "tools/dkfs-replay/commands.h"

namespace dkfs::tool {
namespace {

constexpr const char* kUsageText =
    "usage: dkfs-replay restore --store STORE --to OUT [--at WHEN] [--keep-going] [PATH...]\n"
    "       dkfs-replay verify  --store STORE [--quick]\n"
    "       dkfs-replay reindex --store STORE\n"
    "       dkfs-replay COMMAND --help\n"
    "       dkfs-replay --help | --version\n";

struct Command {
  const char* name;
  int (*run)(const Arguments&);
};
constexpr Command kCommands[] = {{"restore", Restore}, {"verify", VerifyStore}, {"reindex", Reindex}};

int Run(const Arguments& arguments) {
  if (arguments.empty()) throw UsageError{"no command"};
  const std::string& name = arguments.front();
  if (name == "--help" || name == "-h") {
    std::cout << kUsageText;
    return kOk;
  }
  if (name == "--version") {
    std::cout << "dkfs-replay " DKFS_VERSION "\n";
    return kOk;
  }
  for (const Command& command : kCommands) {
    if (name == command.name) return command.run({arguments.begin() + 1, arguments.end()});
  }
  throw UsageError{"unknown command '" + name + "'"};
}

}  // namespace

int ExitCode(int code) {
  switch (code) {
    case EBUSY:
      return kInUse;
    case EUCLEAN:
    case ENOTSUP:
    case EBADMSG:
      return kDamaged;
    case EINVAL:
    case ENOTEMPTY:
    case ENOTDIR:
      return kUsage;
    case EACCES:
    case EPERM:
    case EROFS:
    case ENOSPC:
    case EDQUOT:
    case ENOENT:
    case EMFILE:
      return kEnvironment;
    default:
      return kOther;
  }
}

void Complain(const std::string& line) { std::cerr << "dkfs-replay: " << Printable(line) << "\n"; }

int Fail(const Status& status) {
  Complain(status.ToString());
  return ExitCode(status.code());
}

}  // namespace dkfs::tool

int main(int argc, char** argv) {
  dkfs::FillStandardFds();
  try {
    const int code = dkfs::tool::Run({argv + 1, argv + argc});
    if (dkfs::FlushStandardOutput()) return code;
    return dkfs::tool::Fail(dkfs::Status::FromErrno("writing to standard output"));
  } catch (const dkfs::tool::UsageError& error) {
    dkfs::tool::Complain(error.text + " (see dkfs-replay --help)");
    return dkfs::tool::kUsage;
  }
}
