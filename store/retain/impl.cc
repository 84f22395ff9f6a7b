#include "store/retain/impl.h"

#include <algorithm>

#include "store/base/fault.h"
#include "store/base/log.h"
#include "store/index/rows.h"
#include "store/retain/meta.h"
#include "store/retain/publish.h"

namespace dkfs {
namespace {

constexpr uint64_t kMinSourceBytes = 4 << 20;
// After opening, doubled by each pass that ends: one that is killed again and again must come to an end some time.
constexpr uint64_t kFirstSourceBytes = 64 << 20;
// Before history is spent, what dead rows take is given back: at least so many of them, and an eighth of the index.
constexpr uint64_t kDropsWorthCompacting = 10'000;
constexpr uint64_t kRowBytes = 32;                  // about, on disk
constexpr uint64_t kSpaceComesNs = 10'000'000'000;  // how long history waits for what was asked of the index
// In 16ths of the budget: packing hurries, history is spent, writers wait. What lies above is for the segment that is
// being prepared and for the pack a pass writes before its sources go.
constexpr uint64_t kHurryAt = 10, kSpendAt = 11, kHoldAt = 12;
// Where live data alone takes more: writers wait at this part of the budget above it, until what they replaced is gone.
constexpr uint64_t kOverLivePart = 4;
// History goes by at least this part: all packs are estimated anew whenever some went.
constexpr uint64_t kSpendPart = 32;
constexpr size_t kMaxSegmentsAtOnce = 256;  // a header names at most 400

bool Above(uint64_t used, uint64_t sixteenths, uint64_t budget) {
  return budget > 0 && used / sixteenths > budget / 16;
}

}  // namespace

Retainer::Impl::Impl(std::string journal_path, Uuid store, Index* index, Journal* journal, SegmentReader* reader,
                     Reconstructor* reconstructor, const RetainOptions& options)
    : pace_([this] { return Hurried(); }),
      context_{std::move(journal_path),
               store,
               index,
               journal,
               reader,
               reconstructor,
               options.compression_level,
               options.clock,
               &stop_,
               options.yields ? &pace_ : nullptr,
               &steps_},
      pack_source_bytes_(std::min(options.pack_source_bytes, kFirstSourceBytes)),
      all_source_bytes_(options.pack_source_bytes),
      packs_(context_),
      retain_(options.retain),
      budget_(options.budget_bytes),
      ages_(options.clock) {}

void Retainer::Impl::SetLimits(std::chrono::seconds retain, uint64_t budget_bytes) {
  MutexLock lock(mutex_);
  retain_ = retain;
  budget_ = budget_bytes;
}

RetainStats Retainer::Impl::stats() const {
  MutexLock lock(mutex_);
  RetainStats stats = stats_;
  stats.steps = steps_.load(std::memory_order_relaxed);
  return stats;
}

void Retainer::Impl::PublishStats() {
  MutexLock lock(mutex_);
  stats_.horizon = horizon_;
  stats_.pack_bytes = packs_.bytes();
}

void Retainer::Impl::Note(KvBatch* batch) { ages_.Note(context_.journal->appended(), retain_, batch); }

void Retainer::Impl::Tick() {
  KvBatch batch;
  {
    MutexLock lock(mutex_);
    Note(&batch);
  }
  if (batch.count() == 0) return;
  context_.index->Write(&batch).Ignore(
      "history only ages later; the error of the index is sticky and shown by the store");
}

Seq Retainer::Impl::Limit() {
  MutexLock lock(mutex_);
  return std::min(ages_.Settled(), context_.index->flushed());
}

Result<bool> Retainer::Impl::Step() {
  if (stop_) return false;
  Tick();
  Result<bool> worked = Work();
  PublishStats();
  if (!worked.ok() && worked.code() == ECANCELED && stop_) return false;
  if (worked.code() == ENOSPC) {  // next time a smaller pack, and more room
    pack_source_bytes_ = std::max(pack_source_bytes_ / 2, std::min(kMinSourceBytes, pack_source_bytes_));
    context_.journal->DropKeptFiles().Ignore("the failure that led here is reported");
  }
  if (!worked.ok() && worked.code() == EFBIG && pack_source_bytes_ > kMinSourceBytes) {
    pack_source_bytes_ /= 2;
    return true;
  }
  return worked;
}

Result<bool> Retainer::Impl::Work() {
  if (unfinished_) {
    DKFS_TRY(Finish());
    return true;
  }
  DKFS_TRY_ASSIGN(bool moved, FollowTime());
  DKFS_TRY_ASSIGN(bool packed, PackJournal());
  if (packed) return true;
  const bool over = OverBudget();
  DKFS_TRY_ASSIGN(packed, PackPacks(over));
  if (over) DKFS_TRY(context_.journal->DropKeptFiles());
  if (packed || !OverBudget()) return packed || moved;
  DKFS_TRY_ASSIGN(const bool spent, SpendHistory());
  return spent || moved;
}

Result<bool> Retainer::Impl::FollowTime() {
  Seq to;
  {
    MutexLock lock(mutex_);
    to = ages_.OlderThan(retain_);
  }
  to = std::min(to, Limit());
  if (to <= horizon_) return false;
  DKFS_TRY(Raise(to));
  return true;
}

// T5: the row is durable before the first drop. Times below the horizon go with the next flush.
Status Retainer::Impl::Raise(Seq horizon) {
  KvBatch batch;
  batch.Put(Family::kMeta, retain::meta::kHorizon, retain::meta::Value(horizon.value));
  {
    MutexLock lock(mutex_);
    ages_.Prune(horizon, &batch);
  }
  DKFS_TRY(context_.index->Write(&batch));
  DKFS_TRY(context_.index->Flush(context_.journal));
  horizon_ = horizon;
  PublishStats();
  DKFS_TRY(Fault::Pass("retain.drop"));
  KvBatch drops;
  drops.DeleteRange(Family::kMoment, keys::Moment(Seq{}), keys::Moment(horizon));
  drops.DeleteRange(Family::kMeta, StepKey(Seq{}), StepKey(horizon));
  DKFS_TRY(context_.index->Write(&drops));
  // Compaction would come to the tables that the deletion covers last of all.
  if (!compaction_asked_ && !context_.index->kv()->Dropping()) asked_ns_ = context_.clock.monotonic_ns();
  context_.index->kv()->DropTables(Family::kMoment, keys::Moment(horizon));
  return Status::Ok();
}

Result<bool> Retainer::Impl::PackJournal() {
  const std::vector<SegmentInfo> sealed = context_.journal->SealedSegments();
  std::vector<SegmentInfo> sources;
  uint64_t bytes = 0;
  for (const SegmentInfo& segment : sealed) {
    if (packs_.IsDamaged(segment.id)) continue;
    if (segment.last > context_.index->flushed()) DKFS_TRY(context_.index->Flush(context_.journal));
    if (segment.last > context_.index->flushed()) break;
    if (!sources.empty() && (bytes + segment.bytes > pack_source_bytes_ || sources.size() == kMaxSegmentsAtOnce)) break;
    sources.push_back(segment);
    bytes += segment.bytes;
  }
  if (sources.empty()) return false;
  DKFS_TRY(Run(std::move(sources)));
  return true;
}

Result<bool> Retainer::Impl::PackPacks(bool over_budget) {
  retain::Packs::Wish wish{horizon_, context_.journal->appended(), over_budget, pack_source_bytes_};
  DKFS_TRY_ASSIGN(std::vector<SegmentInfo> sources, packs_.Choose(wish, pins_));
  if (sources.empty()) return false;
  DKFS_TRY(Run(std::move(sources)));
  return true;
}

uint64_t Retainer::Impl::BesidePacks() const {
  return context_.journal->DiskBytes() + context_.index->kv()->DiskBytes();
}

bool Retainer::Impl::OverBudget() {
  const uint64_t used = BesidePacks() + packs_.bytes();
  MutexLock lock(mutex_);
  const bool over = Above(used, kSpendAt, budget_);
  if (!over) {
    stats_.over_budget = false;
    all_spent_bytes_ = 0;
  }
  return over;
}

bool Retainer::Impl::Behind() const {
  const uint64_t beside = BesidePacks();
  MutexLock lock(mutex_);
  const uint64_t used = beside + stats_.pack_bytes;
  return Above(used, kHoldAt, budget_) &&
         used > all_spent_bytes_ + (all_spent_bytes_ > 0 ? budget_ / kOverLivePart : 0);
}

bool Retainer::Impl::Hurried() const {
  const uint64_t beside = BesidePacks();
  MutexLock lock(mutex_);
  return Above(beside + stats_.pack_bytes, kHurryAt, budget_);
}

// Whether what was asked of the index last is under way. Not for ever: writers may be held back meanwhile, and where
// the disk is full it waits itself for what history takes.
bool Retainer::Impl::SpaceComes() {
  const Kv& kv = *context_.index->kv();
  const bool under_way = kv.Dropping() || (compaction_asked_ && kv.Compacting());
  if (under_way && context_.clock.monotonic_ns() - *asked_ns_ < kSpaceComesNs) return true;
  asked_ns_.reset();
  compaction_asked_ = false;
  return false;
}

// Nobody has written for a while, and something is younger than the horizon: in the segment being written.
bool Retainer::Impl::IsQuiet() {
  const Seq appended = context_.journal->appended();
  MutexLock lock(mutex_);
  return appended > horizon_ && ages_.Settled() >= appended;
}

// The oldest history first: up to the end of the oldest segment that still holds some, and kSpendPart of all.
Result<bool> Retainer::Impl::SpendHistory() {
  if (asked_ns_) return !SpaceComes();  // having come, it may be enough
  const uint64_t worth = std::max(kDropsWorthCompacting, context_.index->kv()->DiskBytes() / 8 / kRowBytes);
  if (dropped_since_compaction_ >= worth) {
    dropped_since_compaction_ = 0;
    for (Family family : {Family::kBlock, Family::kInode, Family::kMoment}) {
      DKFS_TRY(context_.index->kv()->CompactRange(family, {}, {}));
    }
    asked_ns_ = context_.clock.monotonic_ns();
    compaction_asked_ = true;
    return true;
  }
  Seq to = kLatest;
  for (const auto& list : {context_.journal->SealedSegments(), packs_.List()}) {
    for (const SegmentInfo& segment : list) {
      if (segment.last > horizon_) to = std::min(to, segment.last);
    }
  }
  if (to == kLatest && IsQuiet()) {
    DKFS_TRY(context_.index->Flush(context_.journal));
    to = context_.journal->appended();
  }
  const Seq limit = Limit();
  if (to <= limit) {
    const Seq part{horizon_.value + (context_.journal->appended().value - horizon_.value) / kSpendPart};
    DKFS_TRY(Raise(std::clamp(part, to, limit)));
    return true;
  }
  const uint64_t used = BesidePacks() + packs_.bytes();
  MutexLock lock(mutex_);
  stats_.over_budget = to == kLatest;
  if (stats_.over_budget) all_spent_bytes_ = used;
  return false;
}

bool Retainer::Impl::MayHold(const std::vector<SegmentInfo>& sources, Seq seq) const {
  Seq newest;
  for (const auto& list : {context_.journal->SealedSegments(), packs_.List()}) {
    for (const SegmentInfo& segment : list) {
      if (segment.kind == SegmentKind::kJournal) newest = std::max(newest, segment.last);
      const bool here = std::any_of(sources.begin(), sources.end(), [&](const auto& s) { return s.id == segment.id; });
      if (!here && segment.first <= seq && seq <= segment.last) return true;
    }
  }
  return newest ? seq > newest : false;
}

Status Retainer::Impl::Run(std::vector<SegmentInfo> sources) {
  Unfinished work;
  work.sources.segments = sources;
  retain::Pass pass(context_, horizon_, &pins_, &work.sources, [&](Seq seq) { return MayHold(sources, seq); });
  Result<retain::PassResult> result = pass.Run();
  if (!result.ok()) return result.status();
  work.pass = std::move(result).value();
  unfinished_.emplace(std::move(work));
  return Finish();
}

Status Retainer::Impl::Finish() {
  Unfinished& work = *unfinished_;
  packs_.Add(work.pass.pack, work.pass.value, horizon_);
  retain::Publish publish(context_, horizon_, &pins_, &work.sources, &work.pass);
  const bool pinning = std::any_of(work.sources.segments.begin(), work.sources.segments.end(),
                                   [&](const SegmentInfo& s) { return pins_.Has(s.id); });
  DKFS_TRY(publish.Enter());
  if (pinning) packs_.ForgetEstimates();
  for (SegmentId id : work.sources.damaged) packs_.MarkDamaged(id);
  const std::vector<SegmentId> replaced = work.sources.Replaced();
  for (SegmentId id : replaced) packs_.Remove(id);
  DKFS_TRY(publish.DeleteSources(/*keep_files=*/!Hurried()));
  dropped_since_compaction_ += work.pass.rows_dropped + work.pass.blocks.dropped;
  {
    MutexLock lock(mutex_);
    stats_.packed_segments += work.sources.segments.size();
    stats_.deleted_segments += replaced.size();
    stats_.folded += work.pass.blocks.folded;
    stats_.dropped += work.pass.rows_dropped + work.pass.blocks.dropped;
  }
  unfinished_.reset();
  pack_source_bytes_ = std::min(2 * pack_source_bytes_, all_source_bytes_);
  return Status::Ok();
}

}  // namespace dkfs
