// From a time to a Seq. Times rise with Seqs except at the noted steps, so each piece between two steps is searched by
// halves, the newest piece first: the clock may show the same time again after it was set back, and the last Seq
// counts.
#include <algorithm>

#include "store/index/index.h"
#include "store/index/rows.h"
#include "store/index/versions.h"

namespace dkfs {
namespace {

Status ReadMoment(const KvCursor& cursor, Seq* seq, MomentValue* moment) {
  DKFS_TRY(keys::ParseMoment(AsBytes(cursor.key()), seq));
  return values::Decode(AsBytes(cursor.value()), moment);
}

}  // namespace

Result<MomentValue> Index::Moment(Seq seq) {
  DKFS_TRY(Fresh());
  DKFS_TRY_ASSIGN(std::string row, kv_->Get(Family::kMoment, keys::Moment(seq)));
  MomentValue moment;
  DKFS_TRY(values::Decode(AsBytes(row), &moment));
  return moment;
}

// Searches the moments in [first, last], whose times do not fall. False: all are later, or there are none.
Result<bool> Index::LastNotLater(TimeSpec time, Seq first, Seq last, Seq* found) {
  KvCursor cursor = kv_->NewCursor(Family::kMoment);
  bool any = false;
  while (first <= last) {
    const Seq middle{first.value + (last.value - first.value) / 2};
    Seq seq;
    MomentValue moment;
    cursor.SeekForPrev(keys::Moment(middle));
    if (cursor.Valid()) DKFS_TRY(ReadMoment(cursor, &seq, &moment));
    if (!cursor.Valid() || seq < first) {  // nothing in [first, middle]
      DKFS_TRY(cursor.status());
      first = Seq{middle.value + 1};
    } else if (moment.time <= time) {
      *found = seq;
      any = true;
      first = Seq{middle.value + 1};
    } else {
      last = Seq{seq.value - 1};
    }
  }
  return any;
}

Result<Seq> Index::SeqAt(TimeSpec time, Seq from) {
  DKFS_TRY(Fresh());
  KvCursor moments = kv_->NewCursor(Family::kMoment);
  Seq oldest, last, found;
  MomentValue moment;
  moments.SeekToFirst();
  if (!moments.Valid()) return moments.status().ok() ? Status::Error(ENOENT) : moments.status();
  DKFS_TRY(ReadMoment(moments, &oldest, &moment));
  oldest = std::max(oldest, from);
  moments.SeekToLast();
  if (!moments.Valid()) return Status::Corruption("index: moments");
  DKFS_TRY(ReadMoment(moments, &last, &moment));
  const std::string prefix = StepPrefix();
  KvCursor steps = kv_->NewCursor(Family::kMeta, PrefixEnd(prefix));
  for (steps.SeekToLast(); last >= oldest && last; steps.Prev()) {
    const bool is_step = steps.Valid() && steps.key().starts_with(prefix) && steps.key().size() == prefix.size() + 8;
    const Seq step = is_step ? Seq{LoadBe<uint64_t>(steps.key().data() + prefix.size())} : oldest;
    if (step > last) continue;
    const Seq first = std::max(step, oldest);
    DKFS_TRY_ASSIGN(bool any, LastNotLater(time, first, last, &found));
    if (any) return found;
    if (!is_step) break;
    last = Seq{first.value - 1};
  }
  DKFS_TRY(steps.status());
  return Status::Error(ENOENT);
}

}  // namespace dkfs
