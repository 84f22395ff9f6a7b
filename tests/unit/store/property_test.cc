// Random histories against the model, through reopening, kills, packing and the loss of the index.
#include <gtest/gtest.h>

#include <filesystem>

#include "store/store.h"
#include "store/verify/verify.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/store/model.h"

namespace dkfs::test {
namespace {

namespace fs = std::filesystem;

class StorePropertyTest : public testing::Test {
 protected:
  void SetUp() override {
    seed_ = TestSeed();
    driver_ = std::make_unique<Driver>(seed_);
    Open();
    driver_->Begin();
  }

  StoreOptions Options() {
    StoreOptions options;
    options.background = false;
    options.segment_bytes = 1 << 20;
    options.retain = std::chrono::hours(24 * 365);
    options.budget_bytes = uint64_t{1} << 50;
    options.clock.wall = [this] { return TimeSpec{1'000'000 + ++ticks_, 0}; };
    options.clock.monotonic_ns = [this] { return static_cast<uint64_t>(ticks_) * 1'000'000'000; };
    return options;
  }

  void Open() {
    Result<std::unique_ptr<Store>> opened = Store::Open(path_, Options());
    ASSERT_TRUE(opened.ok()) << opened.status().ToString();
    store_ = std::move(opened).value();
    driver_->Use(store_.get());
  }

  void Steps(int count) {
    for (int i = 0; i < count && !HasFatalFailure(); ++i) driver_->Step();
  }

  void Maintain() {
    for (int i = 0; i < 20; ++i) {
      Result<bool> did = store_->Maintain();
      ASSERT_TRUE(did.ok()) << did.status().ToString();
      if (!*did) return;
    }
  }

  // The store as a kill at this moment leaves it.
  void KillAndReopen() {
    const std::string copy = dir_ / ("copy" + std::to_string(++copies_));
    // Files may go while they are copied (a compaction, a spare segment that becomes one): such a copy is no moment.
    std::error_code error;
    do {
      fs::remove_all(copy);
      fs::copy(path_, copy, fs::copy_options::recursive, error);
    } while (error);
    store_.reset();
    path_ = copy;
    Open();
    EXPECT_EQ(store_->GetStatus().appended, driver_->last());
  }

  void CheckMoments(uint64_t one_in) {
    const Seq oldest = store_->GetStatus().oldest;
    for (const auto& [seq, tree] : driver_->moments()) {
      if (seq < oldest || (one_in > 1 && seq != driver_->last() && !driver_->random().OneIn(one_in))) continue;
      const std::string difference = Difference(tree, TreeOf(*store_, seq));
      ASSERT_EQ(difference, "") << "seed " << seed_ << " seq " << seq.value;
    }
    ASSERT_EQ(Difference(driver_->moments().rbegin()->second, TreeOf(*store_, kLatest)), "");
  }

  void CheckVerifies() {
    VerifyOptions options;
    std::string damages;
    options.on_damage = [&](const std::string& line) { damages += line + "\n"; };
    VerifyResult result;
    Status status = Verify(path_, options, &result);
    EXPECT_TRUE(status.ok()) << status.ToString();
    EXPECT_EQ(damages, "") << "seed " << seed_;
    EXPECT_GT(result.records, 0u);
  }

  TempDir dir_;
  std::string path_ = dir_ / "store";
  uint64_t seed_ = 0;
  int64_t ticks_ = 0;
  int copies_ = 0;
  std::unique_ptr<Driver> driver_;
  std::unique_ptr<Store> store_;
};

TEST_F(StorePropertyTest, EveryMomentReadsBack) {
  Steps(400);
  CheckMoments(4);
}

TEST_F(StorePropertyTest, ReopeningAndKillsKeepEveryMoment) {
  for (int round = 0; round < 6 && !HasFailure(); ++round) {
    Steps(80);
    if (driver_->random().OneIn(2)) {
      ASSERT_TRUE(store_->FlushIndex().ok());
    }
    Steps(20);
    if (driver_->random().OneIn(2)) {
      KillAndReopen();
    } else {
      ASSERT_TRUE(store_->Close().ok());
      store_.reset();
      Open();
    }
    CheckMoments(10);
  }
}

TEST_F(StorePropertyTest, PackingKeepsEveryMoment) {
  for (int round = 0; round < 5 && !HasFailure(); ++round) {
    Steps(150);
    ASSERT_TRUE(store_->Close().ok());  // seals, so that there is something to pack
    store_.reset();
    Open();
    Maintain();
    CheckMoments(20);
    if (driver_->random().OneIn(2)) KillAndReopen();
  }
  EXPECT_GT(store_->GetStatus().pack_bytes, 0u);
  CheckMoments(5);
  store_.reset();
  CheckVerifies();
}

TEST_F(StorePropertyTest, RetentionKeepsTheWindow) {
  for (int round = 0; round < 6 && !HasFailure(); ++round) {
    Steps(150);
    ASSERT_TRUE(store_->Close().ok());
    store_.reset();
    Open();
    store_->SetRetention(std::chrono::seconds(200), uint64_t{1} << 50);
    ticks_ += 50;
    Maintain();
    CheckMoments(10);
  }
  store_.reset();
  CheckVerifies();
}

TEST_F(StorePropertyTest, ALostIndexIsRebuiltEqual) {
  for (int round = 0; round < 3 && !HasFailure(); ++round) {
    Steps(150);
    ASSERT_TRUE(store_->Close().ok());
    store_.reset();
    Open();
    if (round > 0) Maintain();
    const Seq oldest = store_->GetStatus().oldest;
    store_.reset();
    fs::remove_all(path_ + "/index");
    Open();
    EXPECT_EQ(store_->GetStatus().oldest, oldest);
    CheckMoments(10);
    ASSERT_TRUE(store_->Close().ok());
    store_.reset();
    Open();
    EXPECT_FALSE(fs::exists(path_ + "/index.broken"));
    EXPECT_FALSE(fs::exists(path_ + "/index.rebuild"));
  }
  CheckMoments(5);
  store_.reset();
  CheckVerifies();
}

TEST_F(StorePropertyTest, ReadOnlySeesTheSameAndChangesNothing) {
  Steps(200);
  ASSERT_TRUE(store_->FlushIndex().ok());
  Steps(50);
  store_.reset();
  std::map<std::string, std::string> before;
  const auto list = [&] {
    std::map<std::string, std::string> found;
    for (const auto& entry : fs::recursive_directory_iterator(path_)) {
      if (entry.is_regular_file()) found[entry.path()] = ContentOf(entry.path());
    }
    return found;
  };
  before = list();
  StoreOptions options = Options();
  options.mode = StoreOptions::Mode::kReadOnly;
  Result<std::unique_ptr<Store>> opened = Store::Open(path_, options);
  ASSERT_TRUE(opened.ok()) << opened.status().ToString();
  store_ = std::move(opened).value();
  CheckMoments(10);
  RecordBuilder record;
  record.XattrGone(kRootFile, "user.x");
  EXPECT_EQ(store_->Append(record).status().code(), EROFS);
  store_.reset();
  EXPECT_TRUE(before == list());
}

}  // namespace
}  // namespace dkfs::test
