// Ages: how old each Seq is at least, for retention (T5). Age is monotonic time since the store's first mount, counted
// on across restarts by wall time, at most one hour for each; so neither a stepped clock nor a long rest spends
// history.
//
// Rows in meta: "retain/clock" -> age, wall time at that age; "retain/age/" age -> the newest Seq at that age. They
// last with the index's next flush; rows lost in a crash only make history younger than it is. Not thread-safe.
#pragma once

#include <chrono>
#include <deque>

#include "store/base/clock.h"
#include "store/base/status.h"
#include "store/format/ids.h"
#include "store/kv/kv.h"

namespace dkfs::retain {

inline constexpr std::chrono::nanoseconds kMaxRestartGap = std::chrono::hours(1);
// A record younger than this may still be voided (its backing write is under way), which puts the version before it in
// force again. So nothing at or below such a Seq may become history's end.
inline constexpr std::chrono::nanoseconds kSettleTime = std::chrono::seconds(3);

class Ages {
 public:
  explicit Ages(Clock clock) : clock_(std::move(clock)) {}
  Status Load(const Kv& kv);
  // Notes that `newest` is the newest Seq now; puts rows into *batch when it is time for one: a few hundred a window.
  void Note(Seq newest, std::chrono::nanoseconds window, KvBatch* batch);
  // The newest Seq that was there `age` ago; 0 when none is known to be so old.
  Seq OlderThan(std::chrono::nanoseconds age) const;
  Seq Settled() const;                      // see kSettleTime
  void Prune(Seq horizon, KvBatch* batch);  // forgets rows that no later question can need

 private:
  struct Row {
    uint64_t age = 0;
    Seq seq;
  };
  uint64_t Now() const;
  static Seq Last(const std::deque<Row>& rows, uint64_t age);

  Clock clock_;
  uint64_t age_base_ = 0, monotonic_base_ = 0;
  std::deque<Row> rows_;    // ascending in both
  std::deque<Row> recent_;  // finer, for Settled; since Load only
};

}  // namespace dkfs::retain
