#include "store/retain/pass.h"

#include "store/base/fault.h"
#include "store/base/log.h"

namespace dkfs::retain {
namespace {

constexpr size_t kDropsAtOnce = 1024;
constexpr size_t kMomentsInItem = 4096;

// Whether an item may be one that hides others: its rule asks whether these are still there.
bool HidesOthers(const Item& item) {
  if (const auto* inode = std::get_if<InodeItem>(&item.body)) return inode->state.nlink == 0 && inode->state.mode == 0;
  if (const auto* name = std::get_if<NameItem>(&item.body)) return !name->child;
  if (const auto* xattr = std::get_if<XattrItem>(&item.body)) return xattr->gone;
  return false;
}

}  // namespace

Pass::Pass(const Context& context, Seq horizon, const Pins* pins, Sources* sources, Elsewhere elsewhere)
    : context_(context),
      sources_(sources),
      elsewhere_(std::move(elsewhere)),
      rule_(context.index, horizon, pins,
            [sources](const BlockEntry& entry) {
              return sources->Contains(entry.location.segment) && !sources->damaged.contains(entry.location.segment);
            }),
      pins_(pins) {}

Result<PassResult> Pass::Run() {
  DKFS_TRY(context_.index->ApplyAll());
  result_.pack = context_.journal->NewSegmentId();
  DKFS_TRY_ASSIGN(writer_, PackWriter::Create(context_, result_.pack));
  blocks_.emplace(context_, &rule_, pins_, sources_, writer_.get());
  // Moments without times: what lies below is not complete any more (for rebuilding the index).
  if (rule_.horizon()) DKFS_TRY(writer_->Add(Item{Seq{}, MomentsItem{rule_.horizon(), {}}, 0, {}}));
  for (const SegmentInfo& source : sources_->segments) DKFS_TRY(Scan(source));
  DKFS_TRY(CloseMoments());
  DKFS_TRY(WriteDrops());
  DKFS_TRY(blocks_->Flush());
  DKFS_TRY(writer_->Publish(sources_->Replaced()));
  result_.value = writer_->value();
  result_.moments = blocks_->moments();
  result_.blocks = blocks_->counts();
  return std::move(result_);
}

Status Pass::Scan(const SegmentInfo& source) {
  DKFS_TRY_ASSIGN(Records records, Records::Open(context_.journal_path, source.id, source.kind));
  for (;;) {
    DKFS_TRY(context_.CheckStop());
    Records::Record record;
    Result<bool> next = records.Next(&record);
    if (!next.ok()) {
      if (!next.status().IsCorruption() && next.code() != ENOTSUP) return next.status();
      sources_->damaged.insert(source.id);
      Log(LogLevel::kError, "pack_damaged",
          {{"segment", source.id.value},
           {"error", next.status().ToString()},
           {"hint", "the segment is kept; run dkfs-replay verify on the store"}});
      continue;
    }
    if (!*next) return Status::Ok();
    DKFS_TRY(Record(record, source.kind));
  }
}

Status Pass::Record(const Records::Record& record, SegmentKind kind) {
  if (kind == SegmentKind::kJournal) DKFS_TRY(Moments(record.header.seq, {record.header.time}));
  for (const Item& item : record.items) DKFS_TRY(One(item));
  return Status::Ok();
}

Status Pass::One(const Item& item) {
  if (const auto* blocks = std::get_if<BlocksItem>(&item.body)) {
    for (size_t i = 0; i < blocks->versions.size(); ++i) {
      DKFS_TRY(blocks_->Note({blocks->file, blocks->layout, blocks->first + i, item.as_of}, blocks->block_shift));
    }
    return Status::Ok();
  }
  if (const auto* moments = std::get_if<MomentsItem>(&item.body)) return Moments(moments->first, moments->times);
  if (const auto* voided = std::get_if<VoidItem>(&item.body)) {
    return elsewhere_(voided->seq) ? writer_->Add(item) : Status::Ok();
  }
  return Metadata(item);
}

Status Pass::Metadata(const Item& item) {
  if (HidesOthers(item) && drops_.count() > 0) DKFS_TRY(WriteDrops());
  const bool range = std::holds_alternative<RangeItem>(item.body);
  if (range && item.as_of <= rule_.horizon() && ++ranges_seen_ > kMaxRanges) return writer_->Add(item);
  DKFS_TRY_ASSIGN(bool needed, rule_.Needs(item));
  if (needed) return writer_->Add(item);
  if (range) return Status::Ok();  // what it hides goes first (publish.h)
  DKFS_TRY(rule_.Drop(item, &drops_));
  return drops_.count() >= kDropsAtOnce ? WriteDrops() : Status::Ok();
}

Status Pass::WriteDrops() {
  if (drops_.count() == 0) return Status::Ok();
  DKFS_TRY(Fault::Pass("retain.drop"));
  result_.rows_dropped += drops_.count();
  DKFS_TRY(context_.index->Write(&drops_));
  drops_.Clear();
  return Status::Ok();
}

Status Pass::Moments(Seq first, const std::vector<TimeSpec>& times) {
  for (size_t i = 0; i < times.size(); ++i) {
    const Seq seq{first.value + i};
    if (seq < rule_.horizon()) continue;
    const bool joins = !moments_.times.empty() && moments_.first.value + moments_.times.size() == seq.value;
    if (!joins || moments_.times.size() >= kMomentsInItem) {
      DKFS_TRY(CloseMoments());
      moments_.first = seq;
    }
    moments_.times.push_back(times[i]);
  }
  return Status::Ok();
}

Status Pass::CloseMoments() {
  if (moments_.times.empty()) return Status::Ok();
  DKFS_TRY(writer_->Add(Item{Seq{}, moments_, 0, {}}));
  moments_.times.clear();
  return Status::Ok();
}

}  // namespace dkfs::retain
