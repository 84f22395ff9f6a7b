// How the files of a mount are written: what every source of such counts offers, whether it looks from the kernel (BPF)
// or counts the daemon's own requests.
//
// Counts grow from when an entry was made (`born`); tables are bounded, so an entry may be pushed out by others and
// come back with another `born`. Rates are made from differences by whoever asks; reading changes nothing.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "bpf/hotness.h"
#include "store/base/status.h"
#include "store/format/ids.h"

namespace dkfs {

struct FileWrites {
  FileId file;
  hotness_file counts;
};

struct ExtentWrites {
  FileId file;
  uint64_t extent = 0;  // offset >> HOTNESS_EXTENT_SHIFT
  hotness_extent counts;
};

struct HotnessCounts {
  std::vector<FileWrites> files;      // any order
  std::vector<ExtentWrites> extents;  // any order
};

// The sums over a file's extents.
struct PageWrites {
  uint64_t extents = 0, pages = 0, rewritten = 0;
};
std::unordered_map<FileId, PageWrites> PagesByFile(const HotnessCounts& counts);

// One place in the kernel that is watched, or why it is not.
struct ProbeStatus {
  std::string probe;   // request, write, dirty
  std::string attach;  // tp_btf/fuse_request_send; empty: none
  std::string reason;  // what was tried before and refused
};

struct HotnessStatus {
  std::string source = "off";  // bpf, fuse, off
  std::string reason;          // why this one
  std::string btf;             // whose types the programs were fitted to; empty without BPF
  std::vector<ProbeStatus> probes;
  hotness_totals totals{};
  uint64_t files = 0, extents = 0;          // in the tables now
  uint64_t evicted = 0;                     // entries that others pushed out, with their counts
  uint64_t run_count = 0, run_time_ns = 0;  // of the programs; 0 while the kernel keeps no such statistics
};

class Hotness {
 public:
  virtual ~Hotness() = default;
  virtual Result<HotnessCounts> Read() const = 0;
  virtual HotnessStatus status() const = 0;  // reason is the caller's to fill
};

}  // namespace dkfs
