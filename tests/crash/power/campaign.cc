#include "tests/crash/power/campaign.h"

#include <filesystem>

#include "store/base/fault.h"
#include "tests/crash/power/disk.h"

namespace dkfs::test {
namespace {

namespace fs = std::filesystem;

constexpr int kNestedCuts = 3;
constexpr int kDepth = 2;

void Remove(const std::string& path) {
  std::error_code unused;
  fs::remove_all(path, unused);
}

// The trace of one history or of one opening, and everything that is made of it.
class Cutter {
 public:
  Cutter(const CampaignOptions& options, const std::map<Seq, ModelTree>* moments, uint64_t seed, int depth,
         uint64_t salt, Tally* tally)
      : options_(options), moments_(moments), seed_(seed), depth_(depth), tally_(tally), random_(seed * 31 + salt) {}

  Status Run(const std::string& trace, int count) {
    trace_ = trace;
    DKFS_TRY_ASSIGN(const Points points, Points::Read(trace));
    Disk disk;
    if (options_.delay_a_write) disk.DelayOneWrite();
    size_t done = 0;
    for (size_t cut : points.Choose(&random_, static_cast<size_t>(count))) {
      DKFS_TRY(Walk(points, &done, cut, &disk));
      DKFS_TRY(Point(points, cut, disk));
      if (options_.stop_at_first && tally_->violations > 0) break;
    }
    return Status::Ok();
  }

  Status Walk(const Points& points, size_t* done, size_t cut, Disk* disk) {
    for (; *done < cut; ++*done) {
      const Points::Event& event = points.events()[*done];
      if (event.type != TraceType::kStoreIo) continue;
      DKFS_TRY(disk->Apply(*done + 1, event.pid, event.io));
      if (event.io.op == IoOp::kSyncEnded) --open_syncs_;
      if (event.io.op >= IoOp::kSyncBegun && event.io.op < IoOp::kSyncEnded) ++open_syncs_;
    }
    return Status::Ok();
  }

  Status Image(const Points& points, size_t cut, uint64_t variant, const Disk& disk) {
    const std::string image = options_.scratch + "/image" + std::to_string(depth_);
    const std::string nested = options_.scratch + "/trace" + std::to_string(depth_);
    Remove(image);
    Remove(nested);
    DKFS_TRY(disk.Build(variant, image));
    if (options_.spoil) DKFS_TRY(options_.spoil(image, &random_));
    Judge::Case one{points.At(cut), variant, ""};
    const bool again = depth_ < kDepth && variant % 8 == 3;
    if (again) one.trace = nested;
    DKFS_TRY(Fault::Arm(options_.judge_faults));
    const Status judged = Judge(moments_).Check(image, one);
    DKFS_TRY(Fault::Arm(""));
    ++tally_->images;
    if (depth_ > 0) ++tally_->nested;
    if (!judged.ok()) Violation(cut, variant, judged);
    Remove(image);
    if (!again || !judged.ok()) return Status::Ok();
    return Cutter(options_, moments_, seed_, depth_ + 1, variant, tally_).Run(nested, kNestedCuts);
  }

 private:
  Status Point(const Points& points, size_t cut, const Disk& disk) {
    ++tally_->points;
    if (disk.unsynced_writes() > 0) ++tally_->with_writes;
    if (disk.unsynced_names() > 0) ++tally_->with_names;
    if (open_syncs_ > 0) ++tally_->within_sync;
    if (points.At(cut).lower) ++tally_->synced;
    uint64_t variant = random_.Next() >> 20;
    if (random_.OneIn(6)) variant = random_.OneIn(3) ? kEverything : kNothingUnsynced;
    return Image(points, cut, variant, disk);
  }

  void Violation(size_t cut, uint64_t variant, const Status& what) {
    ++tally_->violations;
    std::error_code unused;
    const std::string kept = options_.keep + "/power-" + std::to_string(seed_) + "-" + std::to_string(depth_) + "-" +
                             std::to_string(tally_->images);
    if (!options_.keep.empty()) fs::copy_file(trace_, kept, fs::copy_options::overwrite_existing, unused);
    options_.report("power_oracle --seed " + std::to_string(seed_) + " --trace " + kept + " --cut " +
                    std::to_string(cut) + " --variant " + std::to_string(variant) + "  # " + what.ToString());
  }

  const CampaignOptions& options_;
  const std::map<Seq, ModelTree>* moments_;
  const uint64_t seed_;
  const int depth_;
  Tally* const tally_;
  Random random_;
  std::string trace_;
  int open_syncs_ = 0;
};

HistoryOptions Historys(uint64_t seed, const CampaignOptions& options) {
  HistoryOptions history;
  history.seed = seed;
  history.steps = options.steps;
  history.store = options.scratch + "/store";
  history.faults = options.faults;
  return history;
}

}  // namespace

void Tally::Add(const Tally& other) {
  points += other.points;
  images += other.images;
  nested += other.nested;
  violations += other.violations;
  with_writes += other.with_writes;
  with_names += other.with_names;
  within_sync += other.within_sync;
  synced += other.synced;
  packed += other.packed;
  flushed += other.flushed;
  marked += other.marked;
  rolled += other.rolled;
}

std::string Tally::missing() const {
  std::string text;
  const auto need = [&](uint64_t count, const char* what) {
    if (count == 0) text += std::string(text.empty() ? "" : ", ") + what;
  };
  need(with_writes, "no cut with unsynced writes");
  need(with_names, "no cut with unsynced names");
  need(within_sync, "no cut within a sync");
  need(synced, "no cut behind a sync");
  need(nested, "no opening was cut");
  need(packed, "nothing was packed");
  need(flushed, "the index was never flushed");
  need(marked, "no clean mark");
  need(rolled, "no segment was filled");
  return text;
}

std::string Tally::Line() const {
  return "points " + std::to_string(points) + " images " + std::to_string(images) + " nested " +
         std::to_string(nested) + " violations " + std::to_string(violations);
}

Status RunSeed(uint64_t seed, const CampaignOptions& options, Tally* tally) {
  HistoryOptions history = Historys(seed, options);
  history.trace = options.scratch + "/trace";
  Remove(history.store);
  Remove(history.trace);
  HistoryResult result;
  DKFS_TRY(RunHistory(history, &result).Prefix("history"));
  Remove(history.store);
  tally->packed += result.packed;
  tally->flushed += result.flushes;
  tally->marked += result.marks;
  tally->rolled += result.rolls;
  return Cutter(options, &result.moments, seed, 0, 0, tally).Run(history.trace, options.points);
}

Status Repeat(uint64_t seed, const std::string& trace, size_t cut, uint64_t variant, const CampaignOptions& options) {
  HistoryOptions history = Historys(seed, options);
  history.faults = "";
  Remove(history.store);
  HistoryResult result;
  DKFS_TRY(RunHistory(history, &result).Prefix("history"));
  Remove(history.store);
  DKFS_TRY_ASSIGN(const Points points, Points::Read(trace));
  Tally tally;
  Cutter cutter(options, &result.moments, seed, kDepth, 0, &tally);
  Disk disk;
  size_t done = 0;
  DKFS_TRY(cutter.Walk(points, &done, cut, &disk));
  return cutter.Image(points, cut, variant, disk);
}

}  // namespace dkfs::test
