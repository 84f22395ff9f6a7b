// The oracle judged: what a run leaves is accepted, and each kind of wrong tree is found.
#include "tests/crash/oracle/history.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "store/base/trace.h"
#include "tests/crash/oracle/execute.h"
#include "tests/support/random.h"
#include "tests/support/temp_dir.h"

namespace dkfs::oracle {
namespace {

// A workload that has run on an ordinary directory.
class Recorded {
 public:
  explicit Recorded(const Workload& workload) : workload_(workload) {
    ::mkdir(dir().c_str(), 0755);
    EXPECT_TRUE(Setup(dir(), workload.threads).ok());
    EXPECT_TRUE(Trace::Open(trace()).ok());
    Trace::Text("setup");
    exercised_ = Run(workload, dir(), {});
    Trace::Close();
    auto loaded = History::Load(workload, trace());
    EXPECT_TRUE(loaded.ok()) << loaded.status().ToString();
    history_.emplace(std::move(loaded).value());
  }
  const History& history() const { return *history_; }
  const Exercised& exercised() const { return exercised_; }
  std::string dir() const { return temp_ / "tree"; }
  std::string trace() const { return temp_ / "trace"; }
  Rows After(uint64_t ops) const { return history_->RowsAfter(std::vector<uint64_t>(workload_.threads, ops)); }
  std::vector<Rows> AllStates() const {
    std::vector<Rows> states;
    for (uint64_t ops = 0; ops <= workload_.ops; ++ops) states.push_back(After(ops));
    return states;
  }

 private:
  test::TempDir temp_;
  Workload workload_;
  Exercised exercised_;
  std::optional<History> history_;
};

std::string Version(const Rows& rows, const std::string& path) {
  const auto it = rows.find(path);
  return it == rows.end() ? "" : it->second.meta + "/" + std::to_string(it->second.sum);
}

void Replace(Rows* rows, const Rows& by, const std::string& path) {
  const auto it = by.find(path);
  if (it == by.end())
    rows->erase(path);
  else
    (*rows)[path] = it->second;
}

bool Accepts(const Recorded& run, const Rows& rows, Promise promise) {
  const Verdict verdict = run.history().CheckRows(rows, promise);
  if (!verdict.ok) {
    EXPECT_FALSE(verdict.violation.empty());
  }
  return verdict.ok;
}

// True when no state has all of `parts` in these versions: such a tree is a mixture.
bool NoStateHas(const std::vector<Rows>& states, const std::map<std::string, std::string>& parts) {
  return std::none_of(states.begin(), states.end(), [&](const Rows& state) {
    return std::all_of(parts.begin(), parts.end(),
                       [&](const auto& part) { return Version(state, part.first) == part.second; });
  });
}

// The thread of the last operation that began.
uint32_t LastToBegin(const std::string& trace) {
  uint32_t last = 0;
  Result<TraceReader> reader = TraceReader::Open(trace);
  EXPECT_TRUE(reader.ok()) << reader.status().ToString();
  for (TraceReader::Event event; reader.ok() && reader->Next(&event);) {
    if (event.type == TraceType::kOpBegun) last = ByteReader(event.payload).Le<uint32_t>();
  }
  return last;
}

const Workload kOne{test::TestSeed(), 1, 150};
const Workload kThree{test::TestSeed(), 3, 80};

TEST(OracleTest, WhatARunLeavesIsAccepted) {
  for (uint64_t i = 0; i < 6; ++i) {
    const Recorded run({kOne.seed + i, static_cast<uint32_t>(1 + i % 3), 120});
    EXPECT_GT(run.exercised().ended, 100u);
    const Verdict verdict = run.history().CheckTree(run.dir(), Promise::kCalls);
    EXPECT_TRUE(verdict.ok) << "DKFS_TEST_SEED=" << kOne.seed << " " << verdict.violation;
    EXPECT_TRUE(run.history().CheckTree(run.dir(), Promise::kCached).ok);
  }
}

TEST(OracleTest, AWorkloadExercisesEveryKind) {
  Exercised all;
  const auto complete = [&] { return std::find(all.passed.begin(), all.passed.end(), 0u) == all.passed.end(); };
  // A few more when chance left something out: four pass over the rarest kind one time in a hundred.
  for (uint64_t i = 0; i < 4 || (i < 24 && !complete()); ++i) {
    const Recorded run({kOne.seed + i, 1, 400});
    EXPECT_EQ(run.exercised().failed, 0u);
    for (size_t kind = 0; kind < all.passed.size(); ++kind) all.passed[kind] += run.exercised().passed[kind];
  }
  for (size_t kind = 0; kind < all.passed.size(); ++kind)
    EXPECT_GT(all.passed[kind], 0u) << NameOf(static_cast<Kind>(kind));
}

TEST(OracleTest, AWorkloadRepeatsItself) {
  const Recorded a(kOne), b(kOne);
  const Rows rows_a = a.After(kOne.ops), rows_b = b.After(kOne.ops);
  ASSERT_EQ(rows_a.size(), rows_b.size());
  for (const auto& [path, row] : rows_a) EXPECT_EQ(Version(rows_b, path), Version(rows_a, path)) << path;
}

TEST(OracleTest, AnUnsyncedTailMayBeLostByPowerAndNotByAKill) {
  const Recorded run(kOne);
  const auto states = run.AllStates();
  EXPECT_TRUE(Accepts(run, states.back(), Promise::kSynced));
  uint64_t accepted = 0, differ = 0;
  for (const Rows& state : states) {
    const bool last = std::all_of(state.begin(), state.end(),
                                  [&](const auto& each) {
                                    return Version(states.back(), each.first) == Version(state, each.first);
                                  }) &&
                      state.size() == states.back().size();
    accepted += Accepts(run, state, Promise::kSynced) && !last;
    differ += !last;
    if (!last) {
      EXPECT_FALSE(Accepts(run, state, Promise::kCalls));
    }
  }
  EXPECT_LT(accepted, differ) << "some were synced, so not all may be lost";
}

TEST(OracleTest, AMissingSyncedOperationIsFound) {
  const Recorded run({kOne.seed, 1, 400});
  EXPECT_FALSE(Accepts(run, run.After(0), Promise::kSynced));
  EXPECT_FALSE(Accepts(run, run.After(0), Promise::kCached));
}

// Each pair of rows whose versions never stood together, one old and one new: what an operation left out in the middle,
// or two that changed places, look like.
TEST(OracleTest, AMixtureIsFound) {
  const Recorded run(kOne);
  const auto states = run.AllStates();
  uint64_t mixtures = 0;
  for (size_t at = 20; at + 1 < states.size(); at += 7) {
    for (const auto& [path, row] : states[at]) {
      const Rows& now = states.back();
      if (Version(now, path) == Version(states[at], path)) continue;
      Rows mixed = now;
      Replace(&mixed, states[at], path);
      std::map<std::string, std::string> parts;
      for (const auto& [name, value] : mixed) parts[name] = Version(mixed, name);
      if (!NoStateHas(states, parts)) continue;
      ++mixtures;
      EXPECT_FALSE(Accepts(run, mixed, Promise::kSynced)) << path;
    }
  }
  EXPECT_GT(mixtures, 10u);
}

TEST(OracleTest, AResurrectedNameIsFound) {
  const Recorded run(kOne);
  const auto states = run.AllStates();
  uint64_t gone = 0;
  for (const Rows& state : states) {
    for (const auto& [path, row] : state) {
      if (states.back().contains(path)) continue;
      ++gone;
      Rows raised = states.back();
      raised[path] = row;
      ASSERT_FALSE(Accepts(run, raised, Promise::kCalls)) << path;
      break;
    }
  }
  EXPECT_GT(gone, 5u);
}

TEST(OracleTest, AStaleBlockIsFoundUnderEveryPromise) {
  uint64_t stale = 0;
  for (uint64_t i = 0; i < 5; ++i) {
    const Recorded run({kOne.seed + i, 1, 200});
    const auto states = run.AllStates();
    for (const auto& [path, row] : states.back()) {
      if (!row.has_content || row.size < 8192) continue;
      auto broken = std::make_shared<std::string>(*row.data);
      broken->replace(4096, 8, "unheard");
      Rows rows = states.back();
      rows[path].SetContent(broken);
      ++stale;
      EXPECT_FALSE(Accepts(run, rows, Promise::kCalls));
      EXPECT_FALSE(Accepts(run, rows, Promise::kSynced));
      EXPECT_FALSE(Accepts(run, rows, Promise::kCached));
    }
  }
  EXPECT_GT(stale, 3u);
}

TEST(OracleTest, AStrangerIsFound) {
  const Recorded run(kOne);
  Rows rows = run.After(kOne.ops);
  rows["nobody"] = rows.begin()->second;
  EXPECT_FALSE(Accepts(run, rows, Promise::kSynced));
}

TEST(OracleTest, OneThreadCannotBeAheadOfWhatHadEndedBefore) {
  const Recorded run(kThree);
  const Rows all = run.After(kThree.ops), none = run.After(0);
  EXPECT_TRUE(Accepts(run, all, Promise::kCalls));
  // The last thread has everything, the others nothing: what they did before its last operation began must be there,
  // whether synced or not. (Another one may have ended before they began.)
  const uint32_t last = LastToBegin(run.trace());
  Rows rows;
  for (const auto& [path, row] : all) {
    if (OwnerOf(path, 3) == last) rows[path] = row;
  }
  for (const auto& [path, row] : none) {
    if (OwnerOf(path, 3) != last) rows[path] = row;
  }
  EXPECT_FALSE(Accepts(run, rows, Promise::kSynced));
}

TEST(OracleTest, NothingIsPromisedBeforeTheSetup) {
  const Recorded run(kOne);
  EXPECT_TRUE(run.history().CheckRows({}, Promise::kCalls, 0).ok);
  EXPECT_FALSE(run.history().CheckRows({}, Promise::kCalls).ok);
}

TEST(OracleTest, OnTheDiskADamagedTreeIsFound) {
  const Recorded run(kOne);
  ASSERT_TRUE(run.history().CheckTree(run.dir(), Promise::kSynced).ok);
  ASSERT_EQ(::chmod((run.dir() + "/t0").c_str(), 0123), 0);
  EXPECT_FALSE(run.history().CheckTree(run.dir(), Promise::kSynced).ok);
}

}  // namespace
}  // namespace dkfs::oracle
