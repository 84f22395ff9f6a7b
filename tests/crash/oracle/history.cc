#include "tests/crash/oracle/history.h"

#include <algorithm>

#include "store/base/trace.h"

namespace dkfs::oracle {

Result<History> History::Load(const Workload& workload, const std::string& trace) {
  History history;
  history.workload_ = workload;
  history.parts_.resize(workload.threads);
  DKFS_TRY(history.ReadEvents(trace));
  for (uint32_t thread = 0; thread < workload.threads; ++thread) DKFS_TRY(history.Repeat(thread));
  return history;
}

Status History::ReadEvents(const std::string& trace) {
  DKFS_TRY_ASSIGN(TraceReader reader, TraceReader::Open(trace));
  TraceReader::Event event;
  while (reader.Next(&event)) {
    const uint64_t end = event.offset + kTraceHeaderBytes + event.payload.size();
    if (event.type == TraceType::kText && AsString(event.payload) == "setup" && began_ == 0) began_ = end;
    if (event.type != TraceType::kOpBegun && event.type != TraceType::kOpEnded) continue;
    ByteReader in(event.payload);
    const uint32_t thread = in.Le<uint32_t>();
    const uint64_t number = in.Le<uint64_t>();
    if (thread >= parts_.size()) return Status::Error(EINVAL, "the trace has more threads");
    auto& entries = parts_[thread].entries;
    if (event.type == TraceType::kOpBegun) {
      if (number != entries.size()) return Status::Error(EINVAL, "an operation is missing in the trace");
      entries.emplace_back().begun = end;
    } else {
      if (number + 1 != entries.size()) return Status::Error(EINVAL, "an operation ended that had not begun");
      entries.back().ended = end;
      entries.back().error = in.Le<int32_t>();
    }
  }
  return began_ != 0 ? Status::Ok() : Status::Error(EINVAL, "the trace has no beginning");
}

Status History::Repeat(uint32_t thread) {
  Part& part = parts_[thread];
  Model model(thread);
  std::map<int64_t, size_t> newest;  // node: the last state a sync of it covers
  const auto kEmpty = std::make_shared<const std::string>();
  const auto note = [&] {
    const size_t state = part.states.size();
    for (int64_t node : model.touched()) newest[node] = state;
    part.states.push_back(model.ToRows());
    for (const auto& [path, row] : part.states.back()) {
      if (!row.has_content) continue;
      auto& versions = part.versions[row.node];
      if (versions.empty() && row.node > 0 && row.size > 0)
        versions.push_back({state, kEmpty});  // before it had a name
      if (versions.empty() || versions.back().data != row.data) versions.push_back({state, row.data});
    }
  };
  note();
  for (uint64_t number = 0; number < part.entries.size(); ++number) {
    Entry& entry = part.entries[number];
    entry.op = PlanOp(workload_, number, model);
    entry.first = part.states.size() - 1;
    if (entry.op.Syncs()) entry.covered = model.CoveredBy(entry.op);
    const bool in_doubt = entry.ended == 0 || workload_.stops_on_error || entry.op.UncertainOnError();
    if (entry.error == 0 || in_doubt) {
      for (size_t step = 0; step < entry.op.steps(); ++step) {
        model.Apply(entry.op, step);
        note();
      }
    }
    entry.last = part.states.size() - 1;
    for (int64_t node : entry.covered) entry.synced = std::max(entry.synced, newest[node]);
    if ((entry.ended == 0 || (entry.error != 0 && in_doubt)) && number + 1 != part.entries.size())
      return Status::Error(EINVAL, "the thread went on after an operation in doubt");
  }
  return Status::Ok();
}

History::Span History::SpanOf(const Part& part, Promise promise, uint64_t offset) const {
  Span span;
  span.offset = offset;
  for (const Entry& entry : part.entries) {
    if (entry.begun > offset) break;
    span.hi = entry.last;
    const bool ended = entry.ended != 0 && entry.ended <= offset;
    if (!ended) break;
    const bool in_doubt = entry.error != 0 && (workload_.stops_on_error || entry.op.UncertainOnError());
    if (promise == Promise::kCalls && !in_doubt) span.lo = entry.last;
    if (promise != Promise::kCalls && entry.error == 0 && entry.op.Syncs()) span.lo = std::max(span.lo, entry.synced);
  }
  return span;
}

Rows History::RowsAfter(const std::vector<uint64_t>& ops) const {
  Rows rows;
  for (uint32_t thread = 0; thread < workload_.threads; ++thread) {
    const Part& part = parts_[thread];
    const size_t state = ops[thread] == 0 ? 0 : part.entries[ops[thread] - 1].last;
    rows.insert(part.states[state].begin(), part.states[state].end());
  }
  for (auto& [path, row] : rows) {
    if (!row.mtime_ns) row.mtime_ns = 0;
  }
  return rows;
}

}  // namespace dkfs::oracle
