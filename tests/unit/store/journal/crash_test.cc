// Property: whatever a kill or a loss of power leaves, everything synced is there, what is there is a prefix with the
// right bytes, and the journal goes on with the next Seq; again and again.
#include <sys/wait.h>

#include "tests/unit/store/journal/image.h"

namespace dkfs {
namespace {

using namespace journal_testing;

constexpr int kRuns = 24;

void Work(Rig* rig, std::mt19937_64* random) {
  const int steps = static_cast<int>((*random)() % 60);
  for (int i = 0; i < steps; ++i) {
    ASSERT_TRUE(rig->Append(RandomBody(*random, (*random)() % 4 == 0 ? 60000 : 3000)).ok());
    if ((*random)() % 12 == 0) {
      ASSERT_TRUE(rig->journal->Sync(rig->model[(*random)() % rig->model.size()].at.seq).ok());
    }
    if ((*random)() % 40 == 0) {
      ASSERT_TRUE(rig->journal->Seal().ok());
    }
  }
}

// The highest Seq that a record or a segment header on disk says was synced.
Seq HighestMark(const Rig& rig) {
  Seq mark;
  for (const Written& w : rig.model) mark = std::max(mark, w.synced);
  const UniqueFd dir(::open(rig.path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  for (const auto& entry : fs::directory_iterator(rig.path)) {
    const auto scan = SegmentScan::Open(dir.get(), entry.path().filename());
    if (scan.ok() && (*scan).header().first_seq) mark = std::max(mark, Seq((*scan).header().first_seq.value - 1));
  }
  return mark;
}

// Where an index that was flushed at some synced Seq would let recovery begin: not before what was deleted.
JournalPosition SomePosition(const Rig& rig, Seq synced, std::mt19937_64* random) {
  const uint64_t n = rig.floor.value + (*random)() % (synced.value - rig.floor.value + 1);
  if (n == 0) return {};
  const Appended& at = rig.model[n - 1].at;
  return {.last = at.seq, .segment = at.segment, .offset = at.offset + at.length};
}

struct CrashTest : testing::TestWithParam<uint64_t> {};

TEST_P(CrashTest, KillKeepsAllButTheTornRecord) {
  std::mt19937_64 random(GetParam());
  Rig rig(FreshDir("kill" + std::to_string(GetParam())));
  ASSERT_TRUE(rig.Open().ok());
  for (int round = 0; round < 3; ++round) {
    Work(&rig, &random);
    const Seq synced = rig.journal->synced();
    const size_t whole = rig.model.size();
    rig.journal.reset();
    const bool torn = whole > synced.value && random() % 2;
    if (torn) TearLast(&rig, &random);
    Status opened = rig.Open(SomePosition(rig, std::min(synced, Seq(whole - torn)), &random));
    ASSERT_TRUE(opened.ok()) << "seed " << GetParam() << ": " << opened.ToString();
    ASSERT_GE(rig.journal->appended().value + torn, whole) << "seed " << GetParam();
  }
}

TEST_P(CrashTest, LossOfPowerKeepsAPrefixWithAllThatWasSynced) {
  std::mt19937_64 random(GetParam() + 1000);
  Rig rig(FreshDir("power" + std::to_string(GetParam())));
  ASSERT_TRUE(rig.Open().ok());
  for (int round = 0; round < 4; ++round) {
    Work(&rig, &random);
    const Seq synced = rig.journal->synced();
    rig.journal.reset();
    LosePower(&rig, synced, &random);
    Status opened = rig.Open(SomePosition(rig, synced, &random));
    ASSERT_TRUE(opened.ok()) << "seed " << GetParam() + 1000 << " round " << round << ": " << opened.ToString();
    ASSERT_GE(rig.journal->appended(), synced) << "seed " << GetParam() + 1000;
  }
}

// Segments are deleted as if they had been packed, and their files used again.
TEST_P(CrashTest, FilesUsedAgainBringNothingBack) {
  std::mt19937_64 random(GetParam() + 4000);
  Rig rig(FreshDir("reuse" + std::to_string(GetParam())));
  rig.options.segment_bytes = 256 << 10;
  ASSERT_TRUE(rig.Open().ok());
  int reused = 0;
  for (int round = 0; round < 6; ++round) {
    for (int part = 0; part < 3; ++part) {
      Work(&rig, &random);
      if (random() % 2) {
        ASSERT_TRUE(rig.journal->Sync(kLatest).ok());
      }
      rig.DeleteKeepingFiles();
    }
    Work(&rig, &random);
    const Seq synced = rig.journal->synced();
    const size_t whole = rig.model.size();
    for (SegmentId last; const Written& w : rig.model) {
      if (w.at.seq > rig.floor && w.at.segment != last) reused += rig.FormerOf(w.at.segment) != nullptr;
      last = w.at.segment;
    }
    rig.journal.reset();
    const bool power = random() % 2;
    const bool torn = !power && whole > synced.value && random() % 2;
    if (power) LosePower(&rig, synced, &random);
    if (torn) TearLast(&rig, &random);
    Status opened = rig.Open(SomePosition(rig, synced, &random));
    ASSERT_TRUE(opened.ok()) << "seed " << GetParam() + 4000 << " round " << round << ": " << opened.ToString();
    ASSERT_GE(rig.journal->appended(), synced) << "seed " << GetParam() + 4000;
    if (!power) {
      ASSERT_GE(rig.journal->appended().value + torn, whole) << "seed " << GetParam() + 4000;
    }
  }
  EXPECT_GT(reused, 0) << "seed " << GetParam() + 4000;
}

TEST_P(CrashTest, ADamagedRecordIsEitherReportedOrAboveEverySyncedMark) {
  std::mt19937_64 random(GetParam() + 2000);
  Rig rig(FreshDir("flip" + std::to_string(GetParam())));
  ASSERT_TRUE(rig.Open().ok());
  do {
    Work(&rig, &random);
  } while (rig.model.empty());
  rig.journal.reset();
  const std::string image = rig.path + ".image";
  for (int i = 0; i < 12; ++i) {
    CopyImage(rig.path, image);
    Rig hurt(image);
    hurt.model = rig.model;
    const Written& victim = rig.model[random() % rig.model.size()];
    const uint64_t bytes = kRecordHeaderBytes + victim.body.size();
    Patch(hurt.File(victim.at.segment)).Flip(victim.at.offset + random() % bytes, static_cast<int>(random() % 8));
    const bool synced = HighestMark(rig) >= victim.at.seq;
    Status opened = hurt.Open();
    if (opened.ok()) {
      EXPECT_FALSE(synced) << "seed " << GetParam() + 2000 << ": Seq " << victim.at.seq.value
                           << " was dropped silently";
      EXPECT_EQ(hurt.journal->appended().value, victim.at.seq.value - 1);
    } else {
      EXPECT_TRUE(opened.IsCorruption()) << opened.ToString();
      const std::string place = SegmentName(victim.at.segment, SegmentKind::kJournal) + " at offset " +
                                std::to_string(victim.at.offset) + ": Seq " + std::to_string(victim.at.seq.value);
      EXPECT_NE(opened.ToString().find(place), std::string::npos) << opened.ToString() << " instead of " << place;
    }
  }
}

// Opens in a process of its own, which a fault point kills on its n-th pass. True when it was killed.
bool OpenKilled(const std::string& path, const JournalOptions& options, const std::string& fault) {
  const pid_t child = ::fork();
  if (child == 0) {
    SetLogFd(-1);
    Fault::Arm(fault).Ignore("a spec of this test");
    auto opened = Journal::Open(path, kUuid, {}, options, [](auto&&...) { return Status::Ok(); });
    ::_exit(opened.ok() ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
  return WIFSIGNALED(status);
}

TEST_P(CrashTest, RecoveryMayBeKilledAnywhere) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "ThreadSanitizer does not support threads in a forked child";
#endif
  std::mt19937_64 random(GetParam() + 3000);
  Rig rig(FreshDir("again" + std::to_string(GetParam())));
  ASSERT_TRUE(rig.Open().ok());
  Work(&rig, &random);
  const Seq synced = rig.journal->synced();
  rig.journal.reset();
  LosePower(&rig, synced, &random);
  uint64_t last = 0;  // what an undisturbed recovery keeps
  {
    CopyImage(rig.path, rig.path + ".image");
    Rig calm(rig.path + ".image");
    calm.model = rig.model;
    ASSERT_TRUE(calm.Open().ok());
    last = calm.journal->appended().value;
  }
  constexpr const char* kPoints[] = {"journal.recover", "journal.roll", "file.unlink",   "file.rename",
                                     "file.truncate",   "file.syncdir", "file.allocate", "file.sync"};
  for (const char* point : kPoints) {
    for (int pass = 1; pass < 5; ++pass) {
      if (!OpenKilled(rig.path, rig.options, std::string(point) + "=kill@" + std::to_string(pass))) break;
    }
  }
  Status opened = rig.Open();
  ASSERT_TRUE(opened.ok()) << "seed " << GetParam() + 3000 << ": " << opened.ToString();
  EXPECT_EQ(rig.journal->appended().value, last) << "seed " << GetParam() + 3000;
  ASSERT_TRUE(rig.Append("goes on").ok());
}

INSTANTIATE_TEST_SUITE_P(Seeds, CrashTest, testing::Range<uint64_t>(1, kRuns + 1));

}  // namespace
}  // namespace dkfs
