// Pass: reads its sources once, oldest first, and writes what is still needed into one pack. Metadata goes into the
// pack as it is met, block versions after it, sorted (blocks.h). It changes nothing in the index but to drop rows of
// metadata (all but ranges) that no kept moment needs; their items stand in the sources until those are deleted.
#pragma once

#include <functional>
#include <optional>
#include <set>

#include "store/retain/blocks.h"
#include "store/retain/context.h"
#include "store/retain/pins.h"
#include "store/retain/records.h"
#include "store/retain/sources.h"

namespace dkfs::retain {

// So many ranges at or below the horizon are decided in one pass; the others are carried over.
inline constexpr size_t kMaxRanges = 64 * 1024;

struct PassResult {
  SegmentId pack;
  SegmentValue value;
  std::set<Pins::Moment> moments;  // pins its units need
  Blocks::Counts blocks;
  uint64_t rows_dropped = 0;
};

class Pass {
 public:
  // True when a segment outside the pass may hold items of the record at this Seq.
  using Elsewhere = std::function<bool(Seq)>;
  Pass(const Context& context, Seq horizon, const Pins* pins, Sources* sources, Elsewhere elsewhere);
  // On success the pack stands published under its name, not yet in the index. Errors leave nothing behind but a
  // temporary name, which goes too.
  Result<PassResult> Run();

 private:
  Status Scan(const SegmentInfo& source);
  Status Record(const Records::Record& record, SegmentKind kind);
  Status One(const Item& item);
  Status Metadata(const Item& item);
  Status Moments(Seq first, const std::vector<TimeSpec>& times);
  Status CloseMoments();
  Status WriteDrops();

  const Context& context_;
  Sources* const sources_;
  const Elsewhere elsewhere_;
  Rule rule_;
  const Pins* const pins_;
  std::unique_ptr<PackWriter> writer_;
  std::optional<Blocks> blocks_;
  MomentsItem moments_;
  KvBatch drops_;
  size_t ranges_seen_ = 0;
  PassResult result_;
};

}  // namespace dkfs::retain
