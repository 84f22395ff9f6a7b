// Campaign: seeds, each a history, cut at many points, each image judged, some of them cut again while they open.
#pragma once

#include <functional>
#include <string>

#include "tests/crash/power/history.h"
#include "tests/crash/power/judge.h"

namespace dkfs::test {

struct Tally {
  uint64_t points = 0, images = 0, nested = 0, violations = 0;
  // What was exercised: cuts with unsynced writes, with unsynced names, within a sync, in histories with packs, ...
  uint64_t with_writes = 0, with_names = 0, within_sync = 0, synced = 0, packed = 0, flushed = 0, marked = 0,
           rolled = 0;

  void Add(const Tally& other);
  std::string missing() const;  // what was never exercised; "" when nothing
  std::string Line() const;
};

struct CampaignOptions {
  std::string scratch;  // a directory, best in memory
  std::string keep;     // where traces of violations go
  int points = 60;      // of each seed
  int steps = 150;
  std::string faults;          // a bug sown in the history
  std::string judge_faults;    // a bug sown in the opening
  bool delay_a_write = false;  // another, in the disk
  // Called before an image is judged: a bug sown in the image.
  std::function<Status(const std::string& image, Random* random)> spoil;
  bool stop_at_first = false;
  std::function<void(const std::string& line)> report = [](const std::string&) {};
};

// Ok however many violations are found.
Status RunSeed(uint64_t seed, const CampaignOptions& options, Tally* tally);
// One image again, from the trace of a violation.
Status Repeat(uint64_t seed, const std::string& trace, size_t cut, uint64_t variant, const CampaignOptions& options);

}  // namespace dkfs::test
