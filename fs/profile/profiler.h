// Profiler: from how files are written, and what keeping that has cost, to a layout for each. Pure: the caller brings
// counts, costs and the time, and carries decisions out; a wrong decision costs space or time, never correctness.
//
//   look:    what was written since the last look -> rate and context of the file
//   reward:  what these bytes cost (store, CPU, expected hydration) under the layout they were captured with -> the
//            bandit of the context, so that files written alike teach each other
//   decide:  another layout only for a file that is hot, has kept its layout for the dwell time, and either is known to
//            be cheaper off by more than chance, or is lent to exploration
//
// Invariants
//   P1  A file changes its layout at most once in a dwell time, and its shape not before the first of them.
//
//   P2  Of the bytes of a context at most the share `bandit.explore` (and one dwell time's) is spent on trying, by one
//       file at a time.
//
//   P3  A file of which nothing is known keeps the default layout.
//
// Not thread-safe.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "fs/profile/bandit.h"
#include "fs/profile/layout_choice.h"
#include "fs/profile/rates.h"
#include "store/format/ids.h"

namespace dkfs {

// What capturing some bytes of a file has cost, measured.
struct CaptureCost {
  uint64_t written = 0;          // bytes that the application wrote
  uint64_t store = 0;            // bytes that they take in the store: what packing makes smaller
  uint64_t rows = 0;             // and what it does not: rows of versions
  uint64_t cpu_ns = 0;           // diffing, compressing, folding
  uint64_t hydration_bytes = 0;  // expected reads of the store to reconstruct what they changed
};

// What packing makes of a file's content, tried on a sample: for each of kPackings the share that is left and the CPU
// for a byte; a negative share: not tried.
struct PackingTrial {
  struct Way {
    double share = -1, ns_for_byte = 0;
  };
  std::array<Way, kPackings.size()> ways;
};

struct ProfilerOptions {
  RateOptions rate;
  BanditOptions bandit{.tuition_bytes = 4 << 20};
  std::chrono::seconds dwell{60};
  std::chrono::seconds payback{600};  // what recording a file's content anew costs must be won again in this time
  double margin = 0.1;                // a change must promise this much: estimates are no better
  double least_rate = 64 * 1024;      // bytes a second; colder files are left alone
  // Store bytes that a nanosecond of CPU is worth: what both cost to rent when content is kept for a day.
  double cpu_weight = 0.003;
  double hydration_weight = 0.1;  // store bytes that a byte of expected hydration is worth
  double long_hydration = 2;      // a long frame is decompressed as often for what is read of it (assumed)
  size_t most_files = 4096;       // the coldest eighth is forgotten
};

class Profiler {
 public:
  using Time = DecayedRate::Time;

  struct Change {
    FileId file;
    size_t from = kDefaultChoice, to = kDefaultChoice;  // of LayoutChoices()
    bool exploring = false;
  };
  struct Explanation {
    size_t choice = kDefaultChoice;  // of LayoutChoices(): the layout, or what is most like it
    FileLayout layout;
    WriteContext context;
    double bytes_per_second = 0;
    uint64_t changes = 0;      // of its layout, since it was first seen
    Time since{0};             // of the layout
    std::string reason;        // why this one
    std::vector<double> cost;  // for each layout, for a byte written in this context; 0: not known
    std::vector<double> evidence;
  };

  explicit Profiler(const ProfilerOptions& options);

  // `counts`, `pages` and `rewritten` grow (see hotness.h).
  void Look(FileId file, const hotness_file& counts, uint64_t pages, uint64_t rewritten, Time now);
  // What the file really has: on its first look, and when a change could not be carried out in full. `resizable`:
  // whether its block size may change; if not, only layouts of this block size are chosen. `pinned`: a hint; never
  // changed.
  // `bytes`: of content, which a change of the block size records anew.
  void SetLayout(FileId file, const FileLayout& layout, bool resizable, bool pinned = false, uint64_t bytes = 0);
  // Costs since the last call, of bytes captured under the file's current layout, before packing, whose share is that
  // of the last trial of the file; nothing is learned without one. What the other ways of packing would have made of it
  // is learned at once.
  void ChargeUnpacked(FileId file, const CaptureCost& cost);
  // Whether a sample of the file should be tried: it never was, or has grown much since.
  bool WantsTrial(FileId file) const;
  bool IsStream(FileId file) const;  // long frames should be tried as well
  void SetTrial(FileId file, const PackingTrial& trial);
  // What should change now. The caller's having done it is taken for granted.
  std::vector<Change> Decide(Time now);
  void Forget(FileId file) { files_.erase(file); }

  // What a new file should begin with of which is known that it will be written like `context`. nullopt: the default.
  // `tried`: another layout that one such file may be lent to.
  struct Beginning {
    std::optional<FileLayout> best, tried;
  };
  Beginning BeginningFor(const WriteContext& context) const;
  std::optional<WriteContext> ContextOfFile(FileId file) const;

  std::optional<Explanation> Explain(FileId file, Time now) const;
  // Hottest first.
  std::vector<std::pair<FileId, double>> ByRate(Time now) const;
  double CostOf(const CaptureCost& cost) const;  // for a byte written

 private:
  struct File {
    DecayedRate rate;
    hotness_file last{};
    uint64_t last_pages = 0, last_rewritten = 0;
    WriteContext context;
    size_t layout = kDefaultChoice;
    FileLayout real;
    bool resizable = true, pinned = false;
    std::optional<PackingTrial> trial;
    uint64_t written_at_trial = 0, bytes = 0;
    uint64_t changes = 0;
    Time since{0};
    bool exploring = false;
    std::string reason = "the default";
  };
  std::optional<Change> DecideFor(FileId id, File& file, Time now);
  bool PaysBack(const File& file, size_t to, bool exploring, Time now) const;
  // Those of `choices` that do.
  uint64_t PayingBack(const File& file, uint64_t choices, bool exploring, Time now) const;
  // `best`, or the same shape packed as `now` is, unless that is known to be worse: trials of packing are rough.
  static size_t PackedAsNow(const Bandit& bandit, size_t best, size_t now, double margin);
  static uint64_t AllowedFor(const File& file);  // layouts, a bit each
  void ForgetColdest(Time now);
  // A way that was not tried this time does as it usually does beside the first one. Left out, it would be judged by
  // other files than those it is compared with.
  void Complete(const WriteContext& context, PackingTrial* trial);
  Bandit& BanditOf(const WriteContext& context) { return bandits_[context.index()]; }
  const Bandit& BanditOf(const WriteContext& context) const { return bandits_[context.index()]; }

  const ProfilerOptions options_;
  std::vector<Bandit> bandits_;  // by context
  // Share of each way beside that of the first one, and its CPU for a byte; by context, and of all.
  std::vector<PackingTrial> usual_;
  PackingTrial usual_of_all_;
  std::vector<bool> explored_;  // by context: some file tries a layout for it; only while deciding
  std::unordered_map<FileId, File> files_;
};

}  // namespace dkfs
