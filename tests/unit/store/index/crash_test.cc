// Deaths at random points: what a flush left, and the journal's tail replayed over it, is the history that was kept.
#include "tests/unit/store/index/model.h"

namespace dkfs {
namespace {

// A flush that may find the process dead before or after the journal was synced. True: it died.
bool FlushOrDie(Rig* rig, Maker* maker) {
  const uint64_t fate = maker->Below(4);
  Status s = rig->index->Flush([&](Seq seq) {
    if (fate == 0) return Status::Error(ECANCELED);
    rig->synced = std::max(rig->synced, seq);
    return fate == 1 ? Status::Error(ECANCELED) : Status::Ok();
  });
  EXPECT_EQ(s.code(), fate <= 1 ? ECANCELED : 0) << s.ToString();
  return !s.ok();
}

TEST(CrashTest, FlushedPartAndReplayedTailAreThePrefixThatWasKept) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Rig rig("crash");
    Model model;
    Maker maker(seed);
    for (int i = 0; i < 100; ++i) {
      const std::vector<Item> items = maker.Next(model);
      const TimeSpec time = maker.Time();
      rig.Append(items, time);
      model.Append(items, time);
      if (maker.Below(6) == 0) {
        ASSERT_TRUE(rig.index->ApplyAll().ok());
      }
      bool died = maker.Below(40) == 0;
      if (maker.Below(12) == 0) died = FlushOrDie(&rig, &maker);
      if (!died) continue;
      const size_t keep = rig.synced.value + maker.Below(model.size() - rig.synced.value + 1);
      rig.Crash(keep);
      model.Cut(keep);
      if (maker.Below(4) == 0) ExpectSame(&rig, model, kLatest);
      if (HasFailure()) return;
    }
    ExpectSameEverywhere(&rig, model);
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace dkfs
