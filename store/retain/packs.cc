#include "store/retain/packs.h"

#include <algorithm>

#include "store/retain/meta.h"
#include "store/retain/records.h"
#include "store/retain/rule.h"

namespace dkfs::retain {
namespace {

constexpr size_t kSampleFrames = 32;
constexpr double kWorthIt = 0.5, kWorthItOverBudget = 0.05;
constexpr uint64_t kRecheckPart = 16;  // estimated again when the horizon moved by this part of what lies behind it
constexpr size_t kMaxTogether = 64;
constexpr size_t kManySmall = 8;      // so many packs below 1/16 of the limit are merged
constexpr uint64_t kItemWeight = 64;  // bytes an item or version takes beside its payload, about

struct Weights {
  uint64_t all = 0, dead = 0;
  void Add(uint64_t bytes, bool is_dead) {
    all += bytes;
    if (is_dead) dead += bytes;
  }
};

Status WeighVersion(const Context& context, Rule* rule, const keys::BlockKey& key, const BlockEntry& entry, bool shared,
                    Weights* weights) {
  bool needed = false;
  Result<std::string> row =
      context.index->kv()->Get(Family::kBlock, keys::Block(key.file, key.layout, key.block, key.seq));
  if (!row.ok() && !row.status().IsNotFound()) return row.status();
  if (row.ok()) {
    BlockEntry indexed;
    DKFS_TRY(values::Decode(AsBytes(*row), &indexed));
    if (indexed.location == entry.location) {
      DKFS_TRY_ASSIGN(needed, rule->NeedsBlock(key));
    }
  }
  weights->Add(kItemWeight + (shared ? 0 : entry.version.stored_bytes), !needed);
  return Status::Ok();
}

Status Weigh(const Context& context, Rule* rule, const Records::Record& record, const SegmentHeader& segment,
             Weights* weights) {
  for (const Item& item : record.items) {
    const bool rows = !std::holds_alternative<BlocksItem>(item.body) &&
                      !std::holds_alternative<MomentsItem>(item.body) && !std::holds_alternative<VoidItem>(item.body);
    if (!rows) continue;
    DKFS_TRY_ASSIGN(bool needed, rule->Needs(item));
    weights->Add(kItemWeight, !needed);
  }
  // A reference to another frame: its content counts where it stands.
  const auto each = [&](const keys::BlockKey& key, const BlockEntry& entry) {
    return WeighVersion(context, rule, key, entry, entry.location.frame != record.offset, weights);
  };
  return EachVersion(record, segment, each);
}

}  // namespace

Status Packs::Load() {
  const Kv& kv = *context_.index->kv();
  KvCursor cursor = kv.NewCursor(Family::kSegment);
  for (cursor.SeekToFirst(); cursor.Valid(); cursor.Next()) {
    SegmentId id;
    SegmentValue value;
    DKFS_TRY(keys::ParseSegment(AsBytes(cursor.key()), &id));
    DKFS_TRY(values::Decode(AsBytes(cursor.value()), &value));
    if (value.kind != static_cast<uint32_t>(SegmentKind::kPack)) continue;
    Add(id, value, Seq{});
    packs_[id].estimated = false;
  }
  DKFS_TRY(cursor.status());
  return meta::Each(kv, meta::kDamaged, [&](Bytes key, Bytes) {
    if (key.size() == 8) damaged_.insert(SegmentId{LoadBe<uint64_t>(key.data())});
    return Status::Ok();
  });
}

void Packs::Add(SegmentId id, const SegmentValue& value, Seq checked) {
  packs_[id] = Pack{{id, SegmentKind::kPack, value.first, value.last, value.bytes}, checked, 0, true};
}

void Packs::ForgetEstimates() {
  for (auto& [id, pack] : packs_) {
    pack.checked = Seq{};
    pack.estimated = false;
  }
}

uint64_t Packs::bytes() const {
  uint64_t sum = 0;
  for (const auto& [id, pack] : packs_) sum += pack.info.bytes;
  return sum;
}

std::vector<SegmentInfo> Packs::List() const {
  std::vector<SegmentInfo> list;
  for (const auto& [id, pack] : packs_) list.push_back(pack.info);
  return list;
}

// What is newer than the horizon is needed, so a pack that begins behind it has nothing dead.
bool Packs::IsDue(const Pack& pack, const Wish& wish) const {
  if (pack.info.first > wish.horizon || pack.checked >= wish.horizon) return false;
  if (wish.over_budget || !pack.estimated) return true;
  return wish.horizon.value - pack.checked.value >= (wish.newest.value - pack.checked.value) / kRecheckPart;
}

Result<double> Packs::DeadShare(const SegmentInfo& info, Seq horizon, const Pins& pins) {
  Rule rule(context_.index, horizon, &pins, [&](const BlockEntry& entry) { return entry.location.segment == info.id; });
  DKFS_TRY_ASSIGN(Records records, Records::Open(context_.journal_path, info.id, info.kind));
  DKFS_TRY_ASSIGN(std::vector<uint64_t> frames, records.Offsets());
  DKFS_TRY_ASSIGN(Records sample, Records::Open(context_.journal_path, info.id, info.kind));
  Weights weights;
  const size_t step = std::max<size_t>(1, frames.size() / kSampleFrames);
  for (size_t i = 0; i < frames.size(); i += step) {
    DKFS_TRY(context_.CheckStop());
    Records::Record record;
    sample.Seek(frames[i]);
    DKFS_TRY_ASSIGN(bool more, sample.Next(&record));
    if (more) DKFS_TRY(Weigh(context_, &rule, record, sample.header(), &weights));
  }
  return weights.all == 0 ? 0.0 : static_cast<double>(weights.dead) / static_cast<double>(weights.all);
}

std::vector<SegmentInfo> Packs::UpTo(uint64_t limit, std::vector<const Pack*> wanted) {
  std::vector<SegmentInfo> chosen;
  uint64_t bytes = 0;
  for (const Pack* pack : wanted) {
    if (!chosen.empty() && (bytes + pack->info.bytes > limit || chosen.size() == kMaxTogether)) break;
    bytes += pack->info.bytes;
    chosen.push_back(pack->info);
  }
  std::sort(chosen.begin(), chosen.end(), [](const SegmentInfo& a, const SegmentInfo& b) { return a.id < b.id; });
  return chosen;
}

std::vector<SegmentInfo> Packs::SmallOnes(uint64_t limit) const {
  std::vector<const Pack*> small;
  for (const auto& [id, pack] : packs_) {
    if (pack.info.bytes < limit / 16 && !damaged_.contains(id)) small.push_back(&pack);
  }
  return small.size() < kManySmall ? std::vector<SegmentInfo>() : UpTo(limit, small);
}

Result<std::vector<SegmentInfo>> Packs::Choose(const Wish& wish, const Pins& pins) {
  std::vector<const Pack*> wanted;
  for (auto& [id, pack] : packs_) {
    if (damaged_.contains(id)) continue;
    if (IsDue(pack, wish)) {
      Result<double> dead = DeadShare(pack.info, wish.horizon, pins);
      if (!dead.ok() && !dead.status().IsCorruption()) return dead.status();
      pack.dead = dead.ok() ? *dead : 0;
      pack.checked = wish.horizon;
      pack.estimated = true;
    }
    const double enough = wish.over_budget ? kWorthItOverBudget : kWorthIt;
    if (pack.dead > enough || pins.IsOverdue(id, wish.horizon, wish.over_budget)) wanted.push_back(&pack);
  }
  std::stable_sort(wanted.begin(), wanted.end(), [](const Pack* a, const Pack* b) { return a->dead > b->dead; });
  if (!wanted.empty()) return UpTo(wish.limit, wanted);
  return SmallOnes(wish.limit);
}

}  // namespace dkfs::retain
