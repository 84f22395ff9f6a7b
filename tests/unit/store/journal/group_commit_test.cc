#include "store/journal/group_commit.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <latch>
#include <thread>
#include <vector>

namespace dkfs {
namespace {

// A flush that the test can hold: flush n waits for Let(n).
struct HeldFlush {
  std::atomic<uint64_t> appended{0};
  std::atomic<int> flushes{0};
  std::latch entered{1}, let{1};
  Status error;
  std::vector<std::thread::id> leaders;  // the thread of each flush
  Result<Seq> operator()() {
    leaders.push_back(std::this_thread::get_id());
    const Seq target(appended);
    if (flushes++ == 0) {
      entered.count_down();
      let.wait();
    }
    if (!error.ok()) return error;
    return target;
  }
};

TEST(GroupCommitTest, OneFlushAnswersAllWhoCameDuringTheLast) {
  HeldFlush flush;
  std::vector<int> groups;
  GroupCommit commit(
      Seq{}, [&] { return flush(); }, [&](int group) { groups.push_back(group); });
  std::atomic<int> answered{0};
  auto done = [&](Status s) { answered += s.ok(); };
  flush.appended = 1;
  std::thread leader([&] { commit.Barrier(Seq(1), done); });
  flush.entered.wait();
  flush.appended = 11;
  for (uint64_t i = 2; i <= 11; ++i) commit.Barrier(Seq(i), done);  // return at once: there is a leader
  EXPECT_EQ(answered, 0);
  flush.let.count_down();
  leader.join();
  EXPECT_EQ(answered, 11);
  EXPECT_EQ(flush.flushes, 2);
  EXPECT_EQ(groups, (std::vector<int>{1, 10}));
  EXPECT_EQ(commit.synced(), Seq(11));
}

TEST(GroupCommitTest, SyncHandsTheRestToTheCommitter) {
  HeldFlush flush;
  GroupCommit commit(
      Seq{}, [&] { return flush(); }, [](int) {});
  flush.appended = 1;
  std::thread leader([&] { EXPECT_TRUE(commit.Sync(Seq(1)).ok()); });
  flush.entered.wait();
  flush.appended = 2;
  std::latch answered(1);
  std::thread::id where;
  commit.Barrier(Seq(2), [&](Status) {
    where = std::this_thread::get_id();
    answered.count_down();
  });
  const std::thread::id leader_id = leader.get_id();
  flush.let.count_down();
  answered.wait();
  leader.join();
  EXPECT_NE(where, leader_id);
  EXPECT_EQ(commit.synced(), Seq(2));
}

TEST(GroupCommitTest, SyncHandsTheRestToAThreadThatWaits) {
  HeldFlush flush;
  GroupCommit commit(
      Seq{}, [&] { return flush(); }, [](int) {});
  flush.appended = 1;
  std::thread leader([&] { EXPECT_TRUE(commit.Sync(Seq(1)).ok()); });
  flush.entered.wait();
  flush.appended = 2;
  std::latch answered(1);
  commit.Barrier(Seq(2), [&](Status s) {
    EXPECT_TRUE(s.ok());
    answered.count_down();
  });
  std::latch asks(1);
  std::thread waits([&] {
    asks.count_down();
    EXPECT_TRUE(commit.Sync(Seq(2)).ok());
  });
  asks.wait();
  std::this_thread::sleep_for(std::chrono::milliseconds(50));  // it is in Sync by then; if not, the committer leads
  const std::thread::id first = leader.get_id(), second = waits.get_id();
  flush.let.count_down();
  answered.wait();
  leader.join();
  waits.join();
  ASSERT_EQ(flush.leaders.size(), 2U);
  EXPECT_EQ(flush.leaders[0], first);
  EXPECT_EQ(flush.leaders[1], second);
}

TEST(GroupCommitTest, AFollowerNeverLeads) {
  HeldFlush flush;
  GroupCommit commit(
      Seq{}, [&] { return flush(); }, [](int) {});
  std::vector<std::thread::id> followers;
  flush.appended = 1;
  std::thread first([&] { EXPECT_TRUE(commit.Follow(Seq(1)).ok()); });
  flush.entered.wait();
  flush.appended = 2;
  std::thread second([&] { EXPECT_TRUE(commit.Follow(Seq(2)).ok()); });
  std::thread barrier([&] { EXPECT_TRUE(commit.Sync(Seq(1)).ok()); });
  for (const std::thread* t : {&first, &second}) followers.push_back(t->get_id());
  flush.let.count_down();
  for (std::thread* t : {&first, &second, &barrier}) t->join();
  EXPECT_EQ(commit.synced(), Seq(2));
  for (std::thread::id leader : flush.leaders) {
    EXPECT_EQ(std::count(followers.begin(), followers.end(), leader), 0);
  }
}

TEST(GroupCommitTest, AFollowerHearsOfAFailure) {
  GroupCommit commit(
      Seq{}, [&] { return Result<Seq>(Status::Error(EIO)); }, [](int) {});
  EXPECT_EQ(commit.Follow(Seq(1)).code(), EIO);
  EXPECT_EQ(commit.Follow(Seq(1)).code(), EIO);
}

TEST(GroupCommitTest, AFailedFlushFailsThoseWhoSleep) {
  HeldFlush flush;
  GroupCommit commit(
      Seq{}, [&] { return flush(); }, [](int) {});
  flush.appended = 1;
  std::atomic<int> failed{0};
  std::vector<std::thread> threads;
  threads.emplace_back([&] { failed += commit.Sync(Seq(1)).code() == EIO; });
  flush.entered.wait();
  flush.appended = 2;
  for (int t = 0; t < 3; ++t) threads.emplace_back([&] { failed += commit.Sync(Seq(2)).code() == EIO; });
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  flush.error = Status::Error(EIO);
  flush.let.count_down();
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(failed, 4);
}

TEST(GroupCommitTest, AFailedFlushFailsAllWaitersAndLaterOnes) {
  HeldFlush flush;
  GroupCommit commit(
      Seq{}, [&] { return flush(); }, [](int) {});
  std::atomic<int> failed{0};
  auto done = [&](Status s) { failed += s.code() == EIO; };
  flush.appended = 1;
  std::thread leader([&] { commit.Barrier(Seq(1), done); });
  flush.entered.wait();
  commit.Barrier(Seq(1), done);
  flush.error = Status::Error(EIO);
  flush.let.count_down();
  leader.join();
  EXPECT_EQ(failed, 2);
  commit.Barrier(Seq(1), done);
  EXPECT_EQ(failed, 3);
  EXPECT_EQ(commit.Sync(Seq(1)).code(), EIO);
  EXPECT_EQ(commit.synced(), Seq(0));
  EXPECT_EQ(flush.flushes, 1);
}

TEST(GroupCommitTest, ACallbackMayAskForAnotherBarrier) {
  std::atomic<uint64_t> appended{1};
  GroupCommit commit(
      Seq{}, [&] { return Result<Seq>(Seq(appended)); }, [](int) {});
  int answered = 0;
  commit.Barrier(Seq(1), [&](Status) {
    appended = 2;
    commit.Barrier(Seq(2), [&](Status) { ++answered; });
    ++answered;
  });
  EXPECT_EQ(answered, 2);
}

TEST(GroupCommitTest, SleepersAndBarriersAllHearOfTheirs) {
  std::atomic<uint64_t> appended{0};
  std::atomic<int> answered{0};
  GroupCommit commit(
      Seq{}, [&] { return Result<Seq>(Seq(appended)); }, [](int) {});
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 300; ++i) {
        const Seq seq(++appended);
        if (t % 2 == 0) {
          ASSERT_TRUE(commit.Sync(seq).ok());
          ++answered;
        } else {
          commit.Barrier(seq, [&](Status s) { answered += s.ok(); });
        }
      }
    });
  }
  for (auto& t : threads) t.join();
  while (answered < 8 * 300) std::this_thread::yield();
}

TEST(GroupCommitTest, ManySleepersAllWake) {
  std::atomic<uint64_t> appended{0};
  GroupCommit commit(
      Seq{}, [&] { return Result<Seq>(Seq(appended)); }, [](int) {});
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 300; ++i) {
        const Seq seq(++appended);
        ASSERT_TRUE(commit.Sync(seq).ok());
        ASSERT_GE(commit.synced(), seq);
      }
    });
  }
  for (auto& t : threads) t.join();
}

}  // namespace
}  // namespace dkfs
