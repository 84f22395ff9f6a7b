// Whatever is packed, folded and dropped: every moment from the horizon on answers as the model.
#include "store/base/fault.h"
#include "tests/unit/store/retain/model.h"

namespace dkfs::retain_test {
namespace {

using std::chrono::seconds;

class RetainProperty : public testing::TestWithParam<uint64_t> {
 protected:
  void SetUp() override { RecordProperty("seed", static_cast<int>(GetParam())); }
  FakeTime time_;
};

TEST_P(RetainProperty, EveryKeptMomentAnswersAsTheModel) {
  SCOPED_TRACE("seed " + std::to_string(GetParam()));
  RetainOptions options;
  options.retain = seconds(30);
  Rig rig(FreshDir("model-" + std::to_string(GetParam())), &time_, options);
  ASSERT_OK(rig.Open());
  Model model(&rig, GetParam());
  Seq horizon;
  for (int round = 0; round < 8; ++round) {
    for (int i = 0; i < 40; ++i) model.Change();
    rig.retainer->Tick();
    time_.Pass(seconds(10));
    rig.Settle();
    if (HasFatalFailure()) return;
    ASSERT_GE(rig.retainer->stats().horizon, horizon);
    horizon = rig.retainer->stats().horizon;
    model.CheckFrom(horizon, "round " + std::to_string(round));
    if (HasFailure()) return;
    if (round % 3 == 2) {
      rig.Drop();
      ASSERT_OK(rig.Open());
      ASSERT_EQ(rig.retainer->stats().horizon, horizon);
      model.CheckFrom(horizon, "reopened, round " + std::to_string(round));
      if (HasFailure()) return;
    }
  }
  EXPECT_GT(horizon.value, 0u);
  EXPECT_GT(rig.retainer->stats().dropped, 0u);
  rig.Drop();
  ASSERT_OK(rig.Open(true));
  EXPECT_EQ(rig.retainer->stats().horizon, horizon);
  model.CheckFrom(horizon, "index rebuilt");
}

INSTANTIATE_TEST_SUITE_P(Seeds, RetainProperty, testing::Range<uint64_t>(1, 7));

}  // namespace
}  // namespace dkfs::retain_test
