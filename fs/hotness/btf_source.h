// Whose types (BTF) the probes are fitted to: a file that was given, the kernel's own, one kept by kernel release, or
// one from a mirror, in this order.
#pragma once

#include <atomic>
#include <string>

#include "store/base/status.h"

namespace dkfs {

struct BtfOptions {
  std::string file;                           // empty: not given
  std::string cache = "/var/cache/dkfs/btf";  // a folder of RELEASE.btf
  std::string mirror;                         // URL; empty: nothing is ever downloaded
};

// The system that runs.
struct BtfSystem {
  std::string kernel_btf = "/sys/kernel/btf/vmlinux";
  std::string release, arch;   // uname
  std::string id, version_id;  // os-release
  static BtfSystem Here();
};

// The path to give to libbpf; empty for the kernel's own. ENOENT: none is to be had, and what would help; otherwise
// what is wrong with the one that was named or fetched. May take as long as a download when a mirror is given.
Result<std::string> FindBtf(const BtfOptions& options, const BtfSystem& system, const std::atomic<bool>& cancel);

}  // namespace dkfs
