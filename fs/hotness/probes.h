// Probes: the programs of bpf/hotness.bpf.c in the kernel. The only user of libbpf.
//
// For each thing to watch there are several programs; they are tried, best first, by loading and attaching them: what a
// kernel allows cannot be known otherwise. What was chosen and what was refused before it is in the status. The
// programs leave the kernel with this object, or with the process. Thread-safe.
#pragma once

#include <memory>

#include "fs/hotness/hotness.h"

namespace dkfs {

struct ProbeOptions {
  uint32_t device = 0;         // of the mount: major << 20 | minor, as the kernel keeps it
  bool cache_absorbs = false;  // the mount has the writeback cache: write calls do not become requests
  std::string btf;             // file with the kernel's types; empty: the kernel's own
};

class Probes : public Hotness {
 public:
  // At least the request probe is attached. EPERM, ENOENT, EINVAL, ...: what the last try was refused with; the context
  // names every try.
  static Result<std::unique_ptr<Probes>> Attach(const ProbeOptions& options);
  ~Probes() override;

  Result<HotnessCounts> Read() const override;
  HotnessStatus status() const override;

 private:
  struct Impl;
  explicit Probes(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Types of what a file with BTF holds: true when it parses and has what probes need at the least.
Status CheckBtf(const std::string& path);

}  // namespace dkfs
