// The judging half of History.
#include <algorithm>

#include "tests/crash/oracle/history.h"

namespace dkfs::oracle {
namespace {

constexpr uint64_t kPage = 4096;

std::string_view PageOf(const std::string& data, uint64_t at) {
  return at >= data.size() ? std::string_view() : std::string_view(data).substr(at, kPage);
}

// Equal when the shorter one is continued by zeros.
bool SamePadded(std::string_view a, std::string_view b) {
  if (a.size() > b.size()) std::swap(a, b);
  return b.starts_with(a) && b.substr(a.size()).find_first_not_of('\0') == std::string_view::npos;
}

// What belongs to no thread: only the setup may have it.
std::string Stranger(const std::string& path) {
  if (path == kShared) return "";
  for (int i = 0; i < kSharedFiles; ++i) {
    if (path == SharedFile(i)) return "";
  }
  return path + ": nobody ever made this";
}

// The first ranges of bytes that differ.
std::string BytesThatDiffer(const Row& want, const Row& got) {
  const std::string &a = *want.data, &b = *got.data;
  std::string text;
  size_t at = 0;
  for (int ranges = 0; ranges < 4; ++ranges) {
    while (at < a.size() && at < b.size() && a[at] == b[at]) ++at;
    if (at >= a.size() || at >= b.size()) break;
    const size_t from = at;
    for (size_t equal = 0; at < a.size() && at < b.size() && equal < 16; ++at) equal = a[at] == b[at] ? equal + 1 : 0;
    text += " " + std::to_string(from) + ".." + std::to_string(at);
  }
  return "; bytes that differ:" + text;
}

std::string Line(const Op& op, bool ended, int error) {
  std::string text(NameOf(op.kind));
  text += " " + op.path;
  if (!op.other.empty()) text += " " + op.other + " from " + std::to_string(op.from);
  text += " " + std::to_string(op.offset) + "+" + std::to_string(op.bytes);
  return text + (!ended ? ", unanswered" : error != 0 ? ", failed with " + std::to_string(error) : "");
}

}  // namespace

std::string History::Listing() const {
  std::string text;
  for (size_t thread = 0; thread < parts_.size(); ++thread) {
    const auto& entries = parts_[thread].entries;
    for (size_t i = 0; i < entries.size(); ++i) {
      text += std::to_string(thread) + " " + std::to_string(i) + " state " + std::to_string(entries[i].last) + " " +
              Line(entries[i].op, entries[i].ended != 0, entries[i].error) + "\n";
    }
  }
  return text;
}

std::string History::ContentDifference(const Part& part, const Row& want, const Row& got, const Span& span) const {
  size_t floor = 0;  // the content then was synced
  for (const Entry& entry : part.entries) {
    if (entry.ended == 0 || entry.ended > span.offset) break;
    if (entry.error != 0 || std::count(entry.covered.begin(), entry.covered.end(), want.node) == 0) continue;
    floor = entry.last;
  }
  std::vector<const std::string*> allowed;
  const auto& versions = part.versions.at(want.node);
  for (size_t i = 0; i < versions.size(); ++i) {
    const bool replaced = i + 1 < versions.size() && versions[i + 1].state <= floor;
    if (!replaced && versions[i].state <= span.hi) allowed.push_back(versions[i].data.get());
  }
  const auto bigger = [](const std::string* a, const std::string* b) { return a->size() < b->size(); };
  const auto [least, most] = std::minmax_element(allowed.begin(), allowed.end(), bigger);
  if (got.size < (*least)->size() || got.size > (*most)->size()) return "size " + std::to_string(got.size);
  for (uint64_t at = 0; at < got.size; at += kPage) {
    const bool known = std::any_of(allowed.begin(), allowed.end(), [&](const std::string* version) {
      return SamePadded(PageOf(*version, at), PageOf(*got.data, at));
    });
    if (!known) return "the page at " + std::to_string(at) + " was never so since its last sync";
  }
  return "";
}

std::string History::Difference(const Part& part, size_t state, const Rows& rows, Promise promise,
                                const Span& span) const {
  const Rows& want = part.states[state];
  for (const auto& [path, row] : want) {
    const auto found = rows.find(path);
    if (found == rows.end()) return path + ": missing; expected " + Describe(row);
    const Row& got = found->second;
    const std::string both = path + ": expected " + Describe(row) + ", found " + Describe(got);
    if (row.meta != got.meta || row.has_content != got.has_content) return both;
    if (promise == Promise::kCached) {
      if (!row.has_content) continue;
      const std::string content = ContentDifference(part, row, got, span);
      if (!content.empty()) return path + ": " + content;
      continue;
    }
    if (row.has_content && (row.size != got.size || row.sum != got.sum)) return both + BytesThatDiffer(row, got);
    if (row.mtime_ns && row.mtime_ns != got.mtime_ns) return both;
  }
  for (const auto& [path, row] : rows) {
    if (!want.contains(path)) return path + ": should not be there; found " + Describe(row);
  }
  return "";
}

// The nearest state is the one with the fewest rows that differ; the newest of them.
std::string History::Explain(uint32_t thread, const Rows& rows, Promise promise, const Span& span) const {
  const Part& part = parts_[thread];
  size_t nearest = span.hi, fewest = ~size_t{0};
  for (size_t state = part.states.size(); state-- > 0;) {
    size_t differ = 0;
    for (const auto& [path, row] : part.states[state]) {
      const auto found = rows.find(path);
      differ += found == rows.end() || found->second.meta != row.meta || found->second.sum != row.sum;
    }
    for (const auto& [path, row] : rows) differ += !part.states[state].contains(path);
    if (differ < fewest) {
      fewest = differ;
      nearest = state;
    }
  }
  const auto in =
      std::find_if(part.entries.begin(), part.entries.end(), [&](const Entry& entry) { return entry.last >= nearest; });
  std::string text = "thread " + std::to_string(thread) + ": no state from " + std::to_string(span.lo) + " to " +
                     std::to_string(span.hi) + " fits; the nearest is " + std::to_string(nearest);
  if (in != part.entries.end()) {
    text += " (operation " + std::to_string(in - part.entries.begin()) + ", " +
            Line(in->op, in->ended != 0, in->error) + ")";
  }
  const std::string difference = Difference(part, nearest, rows, promise, span);
  return text + "\n  " + (difference.empty() ? "it fits but is not allowed" : difference);
}

// The least state that `part` must have reached when `by` has reached `state` (O3).
size_t History::Demanded(const Part& part, const Part& by, size_t state) const {
  uint64_t begun = 0;
  for (const Entry& entry : by.entries) {
    if (entry.first >= state) break;
    begun = entry.begun;
  }
  size_t demanded = 0;
  for (const Entry& entry : part.entries) {
    if (entry.ended == 0 || entry.ended > begun) break;
    if (entry.error == 0) demanded = entry.last;
  }
  return demanded;
}

// The least vector of candidates that satisfies O3: each demand only grows with what demands it.
Verdict History::Reconcile(const std::vector<std::vector<size_t>>& candidates, const std::vector<Span>&) const {
  Verdict verdict;
  std::vector<size_t> at;
  for (const auto& each : candidates) at.push_back(each.front());
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t i = 0; i < at.size(); ++i) {
      for (size_t j = 0; j < at.size(); ++j) {
        const size_t demanded = i == j ? 0 : Demanded(parts_[i], parts_[j], at[j]);
        if (at[i] >= demanded) continue;
        const auto next = std::lower_bound(candidates[i].begin(), candidates[i].end(), demanded);
        if (next == candidates[i].end()) {
          verdict.ok = false;
          verdict.violation = "thread " + std::to_string(j) + " is at state " + std::to_string(at[j]) + ", so thread " +
                              std::to_string(i) + " must have reached state " + std::to_string(demanded) +
                              ", and it shows at most state " + std::to_string(candidates[i].back());
          return verdict;
        }
        at[i] = *next;
        changed = true;
      }
    }
  }
  for (size_t i = 0; i < at.size(); ++i) {
    const auto& entries = parts_[i].entries;
    verdict.at.push_back(static_cast<uint64_t>(
        std::count_if(entries.begin(), entries.end(), [&](const Entry& entry) { return entry.first < at[i]; })));
  }
  return verdict;
}

Verdict History::CheckRows(const Rows& rows, Promise promise, uint64_t offset) const {
  Verdict verdict;
  if (!Began(offset)) return verdict;
  std::vector<Rows> mine(parts_.size());
  for (const auto& [path, row] : rows) {
    if (const auto owner = OwnerOf(path, workload_.threads)) {
      mine[*owner][path] = row;
    } else if (std::string stranger = Stranger(path); !stranger.empty()) {
      return {false, stranger, {}};
    }
  }
  std::vector<std::vector<size_t>> candidates(parts_.size());
  std::vector<Span> spans;
  for (uint32_t thread = 0; thread < workload_.threads; ++thread) {
    const Span span = SpanOf(parts_[thread], promise, offset);
    for (size_t state = span.lo; state <= span.hi; ++state) {
      if (Difference(parts_[thread], state, mine[thread], promise, span).empty()) candidates[thread].push_back(state);
    }
    if (candidates[thread].empty()) return {false, Explain(thread, mine[thread], promise, span), {}};
    spans.push_back(span);
  }
  return Reconcile(candidates, spans);
}

Verdict History::CheckTree(const std::string& dir, Promise promise, uint64_t offset) const {
  if (!Began(offset)) return {};
  const auto rows = ReadTree(dir, workload_.threads);
  if (!rows.ok()) return {false, "unreadable: " + rows.status().ToString(), {}};
  return CheckRows(*rows, promise, offset);
}

}  // namespace dkfs::oracle
