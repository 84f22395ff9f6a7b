#include "tests/crash/power/judge.h"

#include "store/verify/verify.h"
#include "tests/crash/power/history.h"

namespace dkfs::test {
namespace {

constexpr const char* kAfter = "user.after";  // set by records that the judge appends, to their Seq

Status Wrong(const std::string& what) { return Status::Error(EPROTO, what); }

StoreOptions JudgesOptions() {
  StoreOptions options;
  options.create = true;
  options.background = false;
  options.segment_bytes = 128 << 10;
  options.retain = std::chrono::hours(24 * 365);
  options.budget_bytes = uint64_t{1} << 50;
  options.clock = StepClock();
  return options;
}

Status CheckVerifies(const std::string& image, bool before) {
  const std::string when = before ? "verify before" : "verify after";
  VerifyOptions options;
  std::string damages;
  options.on_damage = [&](const std::string& line) {
    // A change of the index's MANIFEST that is torn looks like damage to RocksDB; opening makes the index again, and
    // may be cut short in that.
    const bool torn = before && (line.find("/MANIFEST-") != std::string::npos ||
                                 line.find("its rebuilding was not finished") != std::string::npos);
    if (!torn) damages += line + "; ";
  };
  VerifyResult result;
  DKFS_TRY(Verify(image, options, &result).Prefix(when));
  return damages.empty() ? Status::Ok() : Wrong(when + ": " + damages);
}

std::string Text(Seq seq) { return std::to_string(seq.value); }

}  // namespace

ModelTree Judge::TreeAt(Seq at, const Bounds& bounds) const {
  if (!at) return {};
  const auto it = moments_.find(Seq{std::min(at.value, bounds.base)});
  if (it == moments_.end()) return {};
  ModelTree tree = it->second;
  if (at.value > bounds.base) tree.files[kRootFile].xattrs[kAfter] = Text(at);
  return tree;
}

Status Judge::CheckMoment(Store& store, Seq at, const Bounds& bounds) {
  ModelTree tree;
  DKFS_TRY(ReadTree(store, at, &tree).Prefix("read moment " + Text(at)));
  const std::string difference = Difference(TreeAt(at, bounds), tree);
  return difference.empty() ? Status::Ok() : Wrong("moment " + Text(at) + " of " + Text(last_) + ": " + difference);
}

Status Judge::CheckOpen(Store& store, const Bounds& bounds) {
  const StoreStatus status = store.GetStatus();
  last_ = status.appended;
  Trace::Text("kept " + Text(last_));
  if (last_ < bounds.lower) return Wrong("ends at " + Text(last_) + ", but " + Text(bounds.lower) + " was synced");
  if (last_ > bounds.upper) return Wrong("ends at " + Text(last_) + ", beyond " + Text(bounds.upper));
  if (status.synced != last_) return Wrong("serves what is not synced");
  DKFS_TRY(status.error.Prefix("status"));
  if (store.CleanIdentity() && !bounds.clean) return Wrong("clean mark");
  return last_ ? CheckMoment(store, last_, bounds) : Status::Ok();
}

Status Judge::CheckHistory(Store& store, const Bounds& bounds, Random* random) {
  const Seq oldest = store.GetStatus().oldest;
  if (oldest > bounds.oldest) return Wrong("history begins at " + Text(oldest) + ", not " + Text(bounds.oldest));
  for (int i = 0; i < 3 && oldest < last_; ++i) {
    const uint64_t first = std::max<uint64_t>(oldest.value, 1);
    DKFS_TRY(CheckMoment(store, Seq{first + random->Below(last_.value - first + 1)}, bounds));
  }
  return Status::Ok();
}

Status Judge::GoOn(Store& store, const Bounds& bounds, Random* random) {
  if (!last_) return Status::Ok();
  RecordBuilder record;
  const Seq next{last_.value + 1};
  record.Xattr(kRootFile, kAfter, Text(next));
  Trace::OpBegun(0, next.value);
  DKFS_TRY_ASSIGN(const Seq seq, store.Append(record));
  if (seq != next) return Wrong("the next record got " + Text(seq));
  last_ = next;
  DKFS_TRY(store.Sync(seq));
  Trace::Text("synced " + Text(seq));
  for (bool more = random->OneIn(3); more;) {
    DKFS_TRY_ASSIGN(more, store.Maintain());
  }
  if (random->OneIn(2)) DKFS_TRY(store.FlushIndex());
  DKFS_TRY(CheckMoment(store, last_, bounds));
  return random->OneIn(2) ? store.Close() : Status::Ok();
}

Status Judge::CheckAgain(const std::string& image, const Bounds& bounds) {
  DKFS_TRY_ASSIGN(const std::unique_ptr<Store> store, Store::Open(image, JudgesOptions()));
  if (store->GetStatus().appended != last_) return Wrong("ends elsewhere when opened again");
  return last_ ? CheckMoment(*store, last_, bounds) : Status::Ok();
}

Status Judge::Check(const std::string& image, const Case& one) {
  Random random(one.seed);
  Bounds bounds = one.bounds;
  const bool before = random.OneIn(3), again = random.OneIn(3), after = random.OneIn(3);
  if (before && bounds.lower) DKFS_TRY(CheckVerifies(image, true));
  if (!one.trace.empty()) DKFS_TRY(Trace::Open(one.trace));
  if (bounds.clean) Trace::Text("marking");
  const auto live = [&]() -> Status {
    Result<std::unique_ptr<Store>> store = Store::Open(image, JudgesOptions());
    if (!store.ok()) return store.status().Prefix("open");
    DKFS_TRY(CheckOpen(**store, bounds));
    DKFS_TRY(CheckHistory(**store, bounds, &random));
    bounds.base = std::min(bounds.base, last_.value);
    Trace::Text("base " + std::to_string(bounds.base));
    DKFS_TRY(GoOn(**store, bounds, &random).Prefix("going on"));
    Trace::Text("oldest " + Text((*store)->GetStatus().oldest));
    return Status::Ok();
  };
  const Status lived = live();
  if (!one.trace.empty()) {
    IoTrace::Close();
    Trace::Close();
  }
  DKFS_TRY(lived);
  if (again) DKFS_TRY(CheckAgain(image, bounds).Prefix("again"));
  return after && last_ ? CheckVerifies(image, false) : Status::Ok();
}

}  // namespace dkfs::test
