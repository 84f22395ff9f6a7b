#include "fs/profile/profiler.h"

#include <algorithm>

namespace dkfs {
namespace {

// What was counted since `last`; everything when the entry is another one.
hotness_file Since(const hotness_file& now, const hotness_file& last) {
  if (now.born != last.born || now.writes < last.writes || now.bytes < last.bytes) return now;
  hotness_file out = now;
  out.writes -= last.writes;
  out.bytes -= last.bytes;
  out.sequential -= std::min(now.sequential, last.sequential);
  out.mapped_pages -= std::min(now.mapped_pages, last.mapped_pages);
  return out;
}

constexpr uint64_t kTrialEvery = 8 << 20;  // bytes written; twice as much after each trial
constexpr double kIncompressible = 0.9;    // in every way: more than this is left

constexpr double kNewTrialWeight = 0.3;  // beside those before

constexpr size_t kForgottenShare = 8;  // one in so many, when there are too many

constexpr uint64_t kFewWrites = 8;  // fewer say little of how a file is written

uint64_t Grown(uint64_t now, uint64_t last) { return now < last ? now : now - last; }

}  // namespace

Profiler::Profiler(const ProfilerOptions& options)
    : options_(options),
      bandits_(kWriteContexts, Bandit(LayoutChoices().size(), options.bandit)),
      usual_(kWriteContexts) {}

void Profiler::Look(FileId id, const hotness_file& counts, uint64_t pages, uint64_t rewritten, Time now) {
  if (!files_.contains(id) && files_.size() >= options_.most_files) ForgetColdest(now);
  auto [it, fresh] = files_.try_emplace(id);
  File& file = it->second;
  if (fresh) file.since = now;
  constexpr uint64_t kPage = 1 << HOTNESS_PAGE_SHIFT;
  file.rate.Observe(options_.rate, counts.born, counts.bytes + counts.mapped_pages * kPage, now);
  const hotness_file grown = Since(counts, file.last);
  if (!fresh && grown.writes + grown.mapped_pages < kFewWrites) return;  // with those to come
  const bool packed = file.context.packed;
  file.context = ContextOf(grown, Grown(pages, file.last_pages), Grown(rewritten, file.last_rewritten));
  file.context.packed = packed;
  file.last = counts;
  file.last_pages = pages;
  file.last_rewritten = rewritten;
}

void Profiler::SetLayout(FileId id, const FileLayout& layout, bool resizable, bool pinned, uint64_t bytes) {
  auto it = files_.find(id);
  if (it == files_.end()) return;
  File& file = it->second;
  file.real = layout;
  file.layout = NearestChoice(layout);
  file.resizable = resizable;
  file.pinned = pinned;
  file.bytes = bytes;
  if (pinned) file.reason = "a hint names it";
}

// Its own layout is, whatever it is written like, unless that has long frames.
uint64_t Profiler::AllowedFor(const File& file) {
  const uint64_t sane = SaneChoices(file.context);
  uint64_t allowed = PackingOf(file.layout).long_frames ? 0 : Bit(file.layout);
  for (size_t i = 0; i < LayoutChoices().size(); ++i) {
    const bool fits = file.resizable || LayoutChoices()[i].block_shift == file.real.block_shift;
    if (fits) allowed |= sane & Bit(i);
  }
  return allowed;
}

// Many at once: finding them takes a look at all, and files may come by the thousand.
void Profiler::ForgetColdest(Time now) {
  const auto hottest_first = ByRate(now);
  const size_t kept = hottest_first.size() - (hottest_first.size() + kForgottenShare - 1) / kForgottenShare;
  for (size_t i = kept; i < hottest_first.size(); ++i) files_.erase(hottest_first[i].first);
}

double Profiler::CostOf(const CaptureCost& cost) const {
  if (cost.written == 0) return 0;
  return (static_cast<double>(cost.store + cost.rows) + options_.cpu_weight * static_cast<double>(cost.cpu_ns) +
          options_.hydration_weight * static_cast<double>(cost.hydration_bytes)) /
         static_cast<double>(cost.written);
}

void Profiler::ChargeUnpacked(FileId id, const CaptureCost& cost) {
  auto it = files_.find(id);
  if (it == files_.end() || cost.written == 0 || !it->second.trial) return;
  const File& file = it->second;
  if (LayoutChoices()[file.layout] != file.real) return;
  Bandit& bandit = BanditOf(file.context);
  for (size_t way = 0; way < kPackings.size(); ++way) {
    const PackingTrial::Way& tried = file.trial->ways[way];
    const size_t choice = ShapeOf(file.layout) * kPackings.size() + way;
    if (tried.share < 0) continue;
    CaptureCost packed = cost;
    packed.store = static_cast<uint64_t>(tried.share * static_cast<double>(cost.store));
    packed.cpu_ns += static_cast<uint64_t>(tried.ns_for_byte * static_cast<double>(cost.store));
    if (kPackings[way].long_frames) {
      packed.hydration_bytes =
          static_cast<uint64_t>(options_.long_hydration * static_cast<double>(packed.hydration_bytes));
    }
    const auto bytes = static_cast<double>(cost.written);
    choice == file.layout ? bandit.Observe(choice, bytes, CostOf(packed)) : bandit.Infer(choice, bytes, CostOf(packed));
  }
}

bool Profiler::WantsTrial(FileId id) const {
  auto it = files_.find(id);
  if (it == files_.end()) return false;
  return !it->second.trial || it->second.last.bytes > 2 * it->second.written_at_trial + kTrialEvery;
}

bool Profiler::IsStream(FileId id) const {
  auto it = files_.find(id);
  return it != files_.end() && it->second.context.stream();
}

void Profiler::SetTrial(FileId id, const PackingTrial& trial) {
  auto it = files_.find(id);
  if (it == files_.end()) return;
  File& file = it->second;
  file.trial = trial;
  Complete(file.context, &*file.trial);
  file.written_at_trial = file.last.bytes;
  double smallest = 1;
  for (const auto& way : file.trial->ways) smallest = way.share < 0 ? smallest : std::min(smallest, way.share);
  file.context.packed = smallest > kIncompressible;
}

void Profiler::Complete(const WriteContext& context, PackingTrial* trial) {
  const double first = trial->ways[0].share;
  if (first <= 0) return;
  for (size_t i = 1; i < kPackings.size(); ++i) {
    if (kPackings[i].long_frames) continue;  // only streams have them
    PackingTrial::Way& way = trial->ways[i];
    PackingTrial::Way& here = usual_[context.index()].ways[i];
    PackingTrial::Way& anywhere = usual_of_all_.ways[i];
    if (way.share >= 0) {
      for (PackingTrial::Way* usual : {&here, &anywhere}) {
        const double weight = usual->share < 0 ? 1 : kNewTrialWeight;
        usual->share += weight * (way.share / first - usual->share);
        usual->ns_for_byte += weight * (way.ns_for_byte - usual->ns_for_byte);
      }
    } else if (const PackingTrial::Way& usual = here.share >= 0 ? here : anywhere; usual.share >= 0) {
      way = {std::min(1.0, first * usual.share), usual.ns_for_byte};
    }
  }
}

Profiler::Beginning Profiler::BeginningFor(const WriteContext& context) const {
  const Bandit& bandit = BanditOf(context);
  const uint64_t sane = SaneChoices(context);
  const size_t best = PackedAsNow(bandit, bandit.Best(kDefaultChoice, sane), kDefaultChoice, options_.margin);
  const size_t tried = bandit.Next(best, sane & PackedAs(best));
  Beginning out;
  if (bandit.IsBetter(best, kDefaultChoice, options_.margin)) out.best = LayoutChoices()[best];
  if (tried != best) out.tried = LayoutChoices()[tried];
  return out;
}

std::optional<WriteContext> Profiler::ContextOfFile(FileId id) const {
  auto it = files_.find(id);
  if (it == files_.end() || !it->second.trial) return std::nullopt;
  return it->second.context;
}

std::vector<Profiler::Change> Profiler::Decide(Time now) {
  std::vector<Change> changes;
  explored_.assign(kWriteContexts, false);
  for (auto& [id, file] : files_) {
    const size_t best = BanditOf(file.context).Best(file.layout, AllowedFor(file));
    file.exploring = file.exploring && best != file.layout;  // else it was worth it
    if (file.exploring) explored_[file.context.index()] = true;
  }
  for (const auto& [id, rate] : ByRate(now)) {
    if (rate < options_.least_rate) break;
    if (auto change = DecideFor(id, files_.at(id), now)) changes.push_back(*change);
  }
  return changes;
}

size_t Profiler::PackedAsNow(const Bandit& bandit, size_t best, size_t now, double margin) {
  const size_t same = ShapeOf(best) * kPackings.size() + now % kPackings.size();
  return bandit.IsBetter(best, same, margin) || bandit.evidence(same) < bandit.evidence(best) / 2 ? best : same;
}

// Another block size records the content anew. To try one, as much must be written meanwhile.
bool Profiler::PaysBack(const File& file, size_t to, bool exploring, Time now) const {
  if (LayoutChoices()[to].block_shift == file.real.block_shift) return true;
  const Bandit& bandit = BanditOf(file.context);
  const double rate = file.rate.At(options_.rate, now);
  const double gained = bandit.mean(file.layout) - bandit.mean(to);
  const double won = exploring ? rate * static_cast<double>(options_.dwell.count())
                               : rate * static_cast<double>(options_.payback.count()) * gained;
  return won >= static_cast<double>(file.bytes);
}

uint64_t Profiler::PayingBack(const File& file, uint64_t choices, bool exploring, Time now) const {
  for (size_t i = 0; i < LayoutChoices().size(); ++i) {
    if ((choices & Bit(i)) != 0 && !PaysBack(file, i, exploring, now)) choices &= ~Bit(i);
  }
  return choices;
}

std::optional<Profiler::Change> Profiler::DecideFor(FileId id, File& file, Time now) {
  const bool dwelt = now - file.since >= options_.dwell;
  if (file.pinned || (!dwelt && file.changes > 0)) return std::nullopt;
  const uint64_t allowed = AllowedFor(file);
  const Bandit& bandit = BanditOf(file.context);
  const bool fits = (allowed & Bit(file.layout)) != 0;
  const size_t best = bandit.Best(fits ? file.layout : NearestChoice({file.real.block_shift, {}}),
                                  PayingBack(file, allowed, false, now));
  const bool proven = !fits || bandit.IsBetter(best, file.layout, options_.margin);
  size_t to = file.layout;
  bool exploring = false;
  if (proven || (file.exploring && best != file.layout)) {
    to = fits ? PackedAsNow(bandit, best, file.layout, options_.margin) : best;
  } else if (dwelt && !explored_[file.context.index()]) {
    // Packing is learned without being tried.
    to = bandit.Next(file.layout, PayingBack(file, allowed & PackedAs(file.layout), true, now));
    exploring = to != file.layout;
  }
  if (to == file.layout) return std::nullopt;
  // How a file is packed may change at once: it costs a record, and comes too late for what is packed already.
  if (!dwelt && ShapeOf(to) != ShapeOf(file.layout)) return std::nullopt;
  Change change{id, file.layout, to, exploring};
  file.reason = exploring ? "tried: it may be cheaper"
                : fits    ? "known to be cheapest for files that are " + file.context.ToString()
                          : "long frames are for streams, and it is " + file.context.ToString() + " now";
  file.layout = to;
  file.real = LayoutChoices()[to];
  ++file.changes;
  file.since = now;
  file.exploring = exploring;
  if (exploring) explored_[file.context.index()] = true;
  return change;
}

std::optional<Profiler::Explanation> Profiler::Explain(FileId id, Time now) const {
  auto it = files_.find(id);
  if (it == files_.end()) return std::nullopt;
  const File& file = it->second;
  Explanation out;
  out.choice = file.layout;
  out.layout = file.real;
  out.context = file.context;
  out.bytes_per_second = file.rate.At(options_.rate, now);
  out.changes = file.changes;
  out.since = file.since;
  out.reason = file.reason;
  const Bandit& bandit = BanditOf(file.context);
  for (size_t i = 0; i < LayoutChoices().size(); ++i) {
    out.cost.push_back(bandit.mean(i));
    out.evidence.push_back(bandit.evidence(i));
  }
  return out;
}

std::vector<std::pair<FileId, double>> Profiler::ByRate(Time now) const {
  std::vector<std::pair<FileId, double>> out;
  out.reserve(files_.size());
  for (const auto& [id, file] : files_) out.emplace_back(id, file.rate.At(options_.rate, now));
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) {
    return a.second != b.second ? a.second > b.second : a.first < b.first;
  });
  return out;
}

}  // namespace dkfs
