#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <latch>
#include <thread>

#include "store/base/file.h"
#include "store/journal/segment_file.h"
#include "tests/unit/store/journal/image.h"

namespace dkfs {
namespace {

using namespace journal_testing;

struct JournalTest : testing::Test {
  JournalTest() : rig(FreshDir(testing::UnitTest::GetInstance()->current_test_info()->name())) {
    EXPECT_TRUE(rig.Open().ok());
  }
  Rig rig;
};

TEST_F(JournalTest, SeqsCountFromOneInFileOrder) {
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(rig.Append(std::string(100 + i, 'x')).ok());
  for (size_t i = 0; i < rig.model.size(); ++i) {
    EXPECT_EQ(rig.model[i].at.seq.value, i + 1);
    EXPECT_EQ(rig.model[i].at.length % 8, 0u);
    if (i > 0) {
      EXPECT_EQ(rig.model[i].at.offset, rig.model[i - 1].at.offset + rig.model[i - 1].at.length);
    }
  }
  EXPECT_EQ(rig.journal->appended(), Seq(100));
}

TEST_F(JournalTest, AppendedRecordsSurviveAKill) {
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(rig.Append(std::string(i * 100, 'k')).ok());
  EXPECT_EQ(rig.journal->synced(), Seq(0));
  ASSERT_TRUE(rig.Open().ok());
  EXPECT_EQ(rig.journal->appended(), Seq(50));
}

TEST_F(JournalTest, RollsOverManySegmentsAndReopens) {
  for (int i = 0; i < 200; ++i) ASSERT_TRUE(rig.Append(std::string(40000, 'r')).ok());
  EXPECT_GT(rig.model.back().at.segment.value, 6u);
  ASSERT_TRUE(rig.Open().ok());
  EXPECT_EQ(rig.journal->appended(), Seq(200));
  uint64_t next = 1;
  for (const SegmentInfo& s : rig.journal->SealedSegments()) {
    EXPECT_EQ(s.first.value, next);
    next = s.last.value + 1;
    EXPECT_EQ(fs::file_size(rig.File(s.id)), s.bytes);
  }
  EXPECT_EQ(next, 201u);
}

// A number of /proc/KIND/io: for the kinds "self" and "thread-self".
uint64_t IoCount(const std::string& kind, const std::string& name) {
  std::ifstream io("/proc/" + kind + "/io");
  for (std::string word; io >> word;) {
    uint64_t value = 0;
    io >> value;
    if (word == name + ":") return value;
  }
  ADD_FAILURE() << "no " << name << " in /proc/" << kind << "/io";
  return 0;
}

// What this process gave to write calls, and what this thread had to read from disks, so far.
uint64_t BytesWritten() { return IoCount("self", "wchar"); }
// Of the file's content, in the kernel's page cache.
size_t CachedPages(int fd) {
  struct stat st {};
  EXPECT_EQ(0, ::fstat(fd, &st));
  const auto bytes = static_cast<size_t>(st.st_size);
  void* mapped = ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED, fd, 0);
  EXPECT_NE(MAP_FAILED, mapped);
  std::vector<unsigned char> pages((bytes + kPage - 1) / kPage);
  EXPECT_EQ(0, ::mincore(mapped, bytes, pages.data()));
  ::munmap(mapped, bytes);
  return static_cast<size_t>(std::count_if(pages.begin(), pages.end(), [](unsigned char page) { return page & 1; }));
}

uint64_t BytesReadByThisThread() { return IoCount("thread-self", "read_bytes"); }

// Appends 16 segments' worth, synced after every `sync_each` records of 64 KiB; the bytes written for it.
uint64_t WriteSegments(Rig* rig, int sync_each) {
  const uint64_t before = BytesWritten();
  for (int i = 1; i <= 16 * 16; ++i) {
    EXPECT_TRUE(rig->Append(std::string(64 << 10, 'z')).ok());
    if (i % sync_each == 0) {
      EXPECT_TRUE(rig->journal->Sync(kLatest).ok());
    }
  }
  return BytesWritten() - before;
}

TEST_F(JournalTest, ZerosAreWrittenOnlyWhereSyncsAreMany) {
  constexpr uint64_t kMib = 1 << 20;
  const uint64_t seldom = WriteSegments(&rig, 1000);
  EXPECT_LT(seldom, 20 * kMib);  // at most the first segments were filled before it was known
  const uint64_t often = WriteSegments(&rig, 1);
  EXPECT_GT(often, 16 * kMib + 11 * kMib);
  EXPECT_LT(WriteSegments(&rig, 1000), 20 * kMib);
  ASSERT_TRUE(rig.Open().ok());
  EXPECT_EQ(rig.journal->appended(), Seq(3 * 16 * 16));
}

TEST_F(JournalTest, ASegmentWithoutZerosEndsEarlyWhenSyncsBecomeMany) {
  WriteSegments(&rig, 1000);
  const SegmentId bare = rig.model.back().at.segment;
  for (int i = 0; i < 10'000 && rig.model.back().at.segment < SegmentId(bare.value + 2); ++i) {
    ASSERT_TRUE(rig.Append("small").ok());
    ASSERT_TRUE(rig.journal->Sync(kLatest).ok());
  }
  EXPECT_GE(rig.model.back().at.segment, SegmentId(bare.value + 2));  // it, and the spare made at the same time
  ASSERT_TRUE(rig.Open().ok());
}

TEST_F(JournalTest, ARecordMayBeLargerThanASegment) {
  ASSERT_TRUE(rig.Append(std::string(7 << 20, 'L')).ok());
  ASSERT_TRUE(rig.Append("small").ok());
  EXPECT_EQ(rig.Append(std::string(kMaxRecordBytes, 'L')).code(), E2BIG);
  ASSERT_TRUE(rig.Open().ok());
  EXPECT_EQ(rig.journal->appended(), Seq(2));
}

TEST_F(JournalTest, ACompressedRecordIsBoundedByWhatItExpandsTo) {
  std::string body = "little";
  const struct iovec part = {body.data(), body.size()};
  Journal::Body record{.parts = &part, .count = 1, .bytes = 6, .items = 1, .checksum = Hash64(AsBytes(body))};
  record.flags = kRecordLz4;
  record.expanded_bytes = kMaxRecordBytes + 1;
  EXPECT_EQ(rig.journal->Append(record, 0, false, nullptr).status().code(), E2BIG);
  EXPECT_EQ(rig.journal->appended(), Seq(0));
}

TEST_F(JournalTest, SyncCoversAllSegmentsSoFar) {
  for (int i = 0; i < 40; ++i) ASSERT_TRUE(rig.Append(std::string(60000, 's')).ok());
  ASSERT_TRUE(rig.journal->Sync(kLatest).ok());
  EXPECT_EQ(rig.journal->synced(), Seq(40));
  const uint64_t syncs = rig.journal->stats().syncs;
  ASSERT_TRUE(rig.journal->Sync(Seq(7)).ok());
  EXPECT_EQ(rig.journal->stats().syncs, syncs);
}

TEST_F(JournalTest, BarrierAnswersAtOnceWhatIsSynced) {
  ASSERT_TRUE(rig.Append("a").ok());
  int answers = 0;
  rig.journal->Barrier(Seq(1), [&](Status s) { answers += s.ok(); });
  EXPECT_EQ(answers, 1);  // alone, the caller is the leader
  rig.journal->Barrier(Seq(1), [&](Status s) { answers += s.ok(); });
  EXPECT_EQ(answers, 2);
  EXPECT_EQ(rig.journal->stats().syncs, 1u);
}

// The caller may be of idle priority, and applications wait for whoever flushes.
TEST_F(JournalTest, WhatIsNoBarrierIsFlushedByAnotherThread) {
  std::thread::id flushed;
  rig.options.on_sync = [&](uint64_t, int) { flushed = std::this_thread::get_id(); };
  ASSERT_TRUE(rig.Open().ok());
  ASSERT_TRUE(rig.Append("a").ok());
  ASSERT_TRUE(rig.journal->BarrierAndWait(Seq(1)).ok());
  EXPECT_EQ(flushed, std::this_thread::get_id());
  ASSERT_TRUE(rig.Append("b").ok());
  ASSERT_TRUE(rig.journal->Sync(Seq(2)).ok());
  rig.journal.reset();
  EXPECT_NE(flushed, std::this_thread::get_id());
}

TEST_F(JournalTest, ManyThreadsAppendAndSync) {
  std::atomic<int> answered{0};
  int groups = 0;
  rig.options.on_sync = [&](uint64_t, int group) { groups += group; };  // one leader at a time
  ASSERT_TRUE(rig.Open().ok());
  constexpr int kThreads = 6, kEach = 100;
  std::latch all(kThreads * kEach);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      const std::string body(3000 + t, 't');
      struct iovec part = {const_cast<char*>(body.data()), body.size()};
      for (int i = 0; i < kEach; ++i) {
        auto at = rig.journal->Append({&part, 1, static_cast<uint32_t>(body.size()), 1, Hash64(AsBytes(body))}, 0,
                                      false, nullptr);
        ASSERT_TRUE(at.ok());
        if (t == 0) {
          EXPECT_TRUE(rig.journal->Sync(at->seq).ok());
        }
        rig.journal->Barrier(at->seq, [&, seq = at->seq](Status s) {
          EXPECT_TRUE(s.ok());
          EXPECT_LE(seq, rig.journal->synced());
          answered++;
          all.count_down();
        });
      }
    });
  }
  for (auto& t : threads) t.join();
  all.wait();
  EXPECT_EQ(answered, kThreads * kEach);
  EXPECT_EQ(rig.journal->appended().value, kThreads * kEach);
  rig.journal.reset();
  EXPECT_LE(groups, answered);
  std::map<uint64_t, size_t> seen;
  auto opened = Journal::Open(rig.path, kUuid, {}, rig.options, [&](const RecordHeader& h, const Appended&, Bytes b) {
    seen[h.seq.value] = b.size();
    return Status::Ok();
  });
  ASSERT_TRUE(opened.ok()) << opened.status().ToString();
  EXPECT_EQ(seen.size(), size_t{kThreads * kEach});
}

TEST_F(JournalTest, OnAppendRunsInSeqOrder) {
  std::vector<uint64_t> seqs;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      char data[16] = {};
      struct iovec part = {data, sizeof data};
      for (int i = 0; i < 200; ++i) {
        const auto at = rig.journal->Append({&part, 1, 16, 1, Hash64({reinterpret_cast<std::byte*>(data), 16})}, 0,
                                            false, [&](const Appended& a) { seqs.push_back(a.seq.value); });
        ASSERT_TRUE(at.ok());
      }
    });
  }
  for (auto& t : threads) t.join();
  ASSERT_EQ(seqs.size(), 800u);
  for (size_t i = 0; i < seqs.size(); ++i) EXPECT_EQ(seqs[i], i + 1);
}

TEST_F(JournalTest, AFailedWriteIsSticky) {
  ASSERT_TRUE(rig.Append("kept").ok());
  ASSERT_TRUE(rig.journal->Sync(kLatest).ok());
  ASSERT_TRUE(rig.Append("not synced").ok());
  ASSERT_TRUE(Fault::Arm("journal.append=EIO@1").ok());
  EXPECT_EQ(rig.Append("lost").code(), EIO);
  ASSERT_TRUE(Fault::Arm("").ok());
  EXPECT_EQ(rig.Append("later").code(), EIO);
  EXPECT_EQ(rig.journal->Sync(kLatest).code(), EIO);
  int code = 0;
  rig.journal->Barrier(kLatest, [&](Status s) { code = s.code(); });
  EXPECT_EQ(code, EIO);
  EXPECT_EQ(rig.journal->error().code(), EIO);
  EXPECT_EQ(rig.journal->synced(), Seq(1));
  ASSERT_TRUE(rig.Open().ok());
  EXPECT_EQ(rig.journal->appended(), Seq(2));
}

// Until nothing is prepared any more, so that each write is an append's.
void AwaitSpare(const Rig& rig) {
  uint64_t all = rig.options.segment_bytes / 8 + rig.options.segment_bytes + rig.options.reserve_bytes;
  for (const SegmentInfo& s : rig.journal->SealedSegments()) all += s.bytes;
  while (rig.journal->DiskBytes() < all) std::this_thread::yield();
}

// What a file system that copies on write may answer in a segment that was allocated: before anything was written, in
// the middle of the record, and in the zeros behind it.
TEST_F(JournalTest, NoSpaceWithinASegmentEndsWhenSpaceReturns) {
  for (const char* fault : {"journal.append=ENOSPC@1", "journal.append=EDQUOT@1", "file.write=ENOSPC@1",
                            "file.write=ENOSPC@2,file.write=short@*", "file.write=ENOSPC@4,file.write=short@*",
                            "file.write=ENOSPC@10,file.write=short@*"}) {
    ASSERT_TRUE(rig.Open().ok());
    AwaitSpare(rig);
    ASSERT_TRUE(rig.Append("before").ok());
    ASSERT_TRUE(Fault::Arm(fault).ok());
    const int code = rig.Append(std::string(20'000, 'l')).code();
    EXPECT_TRUE(code == ENOSPC || code == EDQUOT) << fault;
    ASSERT_TRUE(Fault::Arm("").ok());
    EXPECT_TRUE(rig.journal->error().ok()) << fault;
    EXPECT_EQ(rig.journal->shortage().code(), code) << fault;
    Rig killed(rig.path + "_killed");
    CopyImage(rig.path, killed.path);
    killed.model = rig.model;
    ASSERT_TRUE(killed.Open().ok()) << fault;
    EXPECT_EQ(killed.journal->appended(), rig.journal->appended()) << fault << ": what was refused came back";
    EXPECT_TRUE(rig.Append("after").ok());
    EXPECT_TRUE(rig.journal->shortage().ok()) << fault;
    const size_t before = rig.model.size();
    ASSERT_TRUE(rig.Open().ok()) << fault;
    EXPECT_EQ(rig.journal->appended().value, before) << fault;
  }
}

TEST_F(JournalTest, NoSpaceWithinASegmentIsNotSaidForEver) {
  std::atomic<uint64_t> now = 1;
  rig.options.clock.monotonic_ns = [&] { return now.load(); };
  ASSERT_TRUE(rig.Open().ok());
  ASSERT_TRUE(Fault::Arm("journal.append=ENOSPC@1").ok());
  EXPECT_EQ(rig.Append("l").code(), ENOSPC);
  now += 9'000'000'000;
  EXPECT_EQ(rig.journal->shortage().code(), ENOSPC);
  now += 2'000'000'000;
  EXPECT_TRUE(rig.journal->shortage().ok()) << "nobody writes, so nobody could find that space has returned";
}

TEST_F(JournalTest, WhatFollowsATornRecordIsFoundAfterAKill) {
  for (const bool rolls : {false, true}) {
    ASSERT_TRUE(rig.Open().ok());
    AwaitSpare(rig);
    ASSERT_TRUE(rig.Append("before").ok());
    ASSERT_TRUE(Fault::Arm("file.write=short@1,file.write=short@2,file.write=ENOSPC@3,journal.seal=pause@*").ok());
    EXPECT_EQ(rig.Append(std::string(20'000, 't')).code(), ENOSPC);
    ASSERT_TRUE(rig.Append(rolls ? std::string(200'000, 'r') : "shorter").ok());
    ASSERT_TRUE(rig.Append("next").ok());
    Rig killed(rig.path + "_killed");
    CopyImage(rig.path, killed.path);
    ASSERT_TRUE(Fault::Arm("").ok());
    killed.model = rig.model;
    ASSERT_TRUE(killed.Open().ok());
    EXPECT_EQ(killed.model.size(), rig.model.size()) << rolls;
  }
}

TEST_F(JournalTest, AFailedSyncIsStickyAndAnswersNothingAsSynced) {
  ASSERT_TRUE(rig.Append("a").ok());
  ASSERT_TRUE(Fault::Arm("journal.sync=EIO@1").ok());
  int code = 0;
  rig.journal->Barrier(kLatest, [&](Status s) { code = s.code(); });
  EXPECT_EQ(code, EIO);
  ASSERT_TRUE(Fault::Arm("").ok());
  EXPECT_EQ(rig.journal->Sync(kLatest).code(), EIO);
  EXPECT_EQ(rig.Append("b").code(), EIO);
  EXPECT_EQ(rig.journal->synced(), Seq(0));
}

TEST_F(JournalTest, AFailedSealIsSticky) {
  ASSERT_TRUE(rig.Append("a").ok());
  ASSERT_TRUE(Fault::Arm("journal.seal=EIO@1").ok());
  EXPECT_EQ(rig.journal->Seal().code(), EIO);
  EXPECT_EQ(rig.Append("b").code(), EIO);
}

TEST_F(JournalTest, NoSpaceEndsWhenSpaceReturns) {
  rig.FillSegment();
  ASSERT_TRUE(Fault::Arm("file.allocate=ENOSPC@*").ok());
  Status last;
  for (int i = 0; i < 100 && last.ok(); ++i) last = rig.Append(std::string(60000, 'n'));
  EXPECT_EQ(last.code(), ENOSPC);
  EXPECT_TRUE(rig.journal->error().ok());
  EXPECT_TRUE(rig.journal->Sync(kLatest).ok());
  ASSERT_TRUE(Fault::Arm("").ok());
  EXPECT_TRUE(rig.Append(std::string(60000, 'n')).ok());
  const size_t appended = rig.model.size();
  ASSERT_TRUE(rig.Open().ok());
  EXPECT_EQ(rig.journal->appended().value, appended);
}

TEST_F(JournalTest, TheReserveTakesUrgentRecordsOnly) {
  rig.FillSegment();
  ASSERT_TRUE(Fault::Arm("file.allocate=ENOSPC@*").ok());
  while (rig.Append(std::string(60000, 'n')).ok()) continue;
  EXPECT_TRUE(rig.Append(std::string(60000, 'u'), true).ok());
  EXPECT_EQ(rig.Append(std::string(60000, 'n')).code(), ENOSPC);
  EXPECT_EQ(rig.Append("n").code(), ENOSPC);
  EXPECT_TRUE(rig.Append("u", true).ok());
  Status last;
  for (int i = 0; i < 100 && last.ok(); ++i) last = rig.Append(std::string(60000, 'u'), true);
  EXPECT_EQ(last.code(), ENOSPC);
  ASSERT_TRUE(Fault::Arm("").ok());
  EXPECT_TRUE(rig.Append(std::string(60000, 'n')).ok());
  const size_t appended = rig.model.size();
  ASSERT_TRUE(rig.Open().ok());
  EXPECT_EQ(rig.journal->appended().value, appended);
  EXPECT_EQ(fs::file_size(rig.path + "/reserve"), rig.options.reserve_bytes);
}

// Until the thread of this process sleeps.
void AwaitAsleep(pid_t thread) {
  const std::string path = "/proc/self/task/" + std::to_string(thread) + "/stat";
  while (ReadWhole(path).find(") S ") == std::string::npos) std::this_thread::yield();
}

// Beside another thread that appends; the model does not hear of it.
Status AppendBeside(const Rig& rig, std::string body, bool urgent) {
  const struct iovec part = {body.data(), body.size()};
  const Journal::Body record{.parts = &part,
                             .count = 1,
                             .bytes = static_cast<uint32_t>(body.size()),
                             .items = 1,
                             .checksum = Hash64(AsBytes(body))};
  return rig.journal->Append(record, 0, urgent, nullptr).status();
}

TEST_F(JournalTest, AnOrdinaryWriterDoesNotSpendTheReserve) {
  rig.FillSegment();
  ASSERT_TRUE(Fault::Arm("file.allocate=ENOSPC@*").ok());
  while (rig.Append(std::string(60000, 'n')).ok()) continue;
  ASSERT_TRUE(Fault::Arm("file.allocate=ENOSPC@*,journal.roll=pause@1").ok());
  std::thread urgent([&] { EXPECT_TRUE(rig.Append(std::string(60000, 'u'), true).ok()); });
  Fault::AwaitPasses("journal.roll", 1);  // the reserve is about to become a spare
  std::atomic<pid_t> id = 0;
  std::thread ordinary([&] {
    id = ::gettid();
    EXPECT_EQ(AppendBeside(rig, std::string(60000, 'o'), false).code(), ENOSPC);
  });
  while (id == 0) std::this_thread::yield();
  AwaitAsleep(id);  // it asked for a spare too
  Fault::Release("journal.roll");
  urgent.join();
  ordinary.join();
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(rig.Append(std::string(60000, 'u'), true).ok()) << i;
}

TEST_F(JournalTest, TwoUrgentWritersShareTheReserve) {
  std::atomic<bool> hold = false;
  rig.options.behind = [&] {
    while (hold) std::this_thread::yield();
    return false;
  };
  ASSERT_TRUE(rig.Open().ok());
  rig.FillSegment();
  ASSERT_TRUE(Fault::Arm("file.allocate=ENOSPC@*").ok());
  while (rig.Append(std::string(60000, 'n')).ok()) continue;
  ASSERT_TRUE(Fault::Arm("file.allocate=ENOSPC@*,journal.roll=pause@1").ok());
  std::thread first([&] { EXPECT_TRUE(rig.Append(std::string(60000, 'u'), true).ok()); });
  Fault::AwaitPasses("journal.roll", 1);
  std::atomic<pid_t> id = 0;
  std::thread second([&] {
    id = ::gettid();
    EXPECT_TRUE(AppendBeside(rig, std::string(60000, 'v'), true).ok());
  });
  while (id == 0) std::this_thread::yield();
  AwaitAsleep(id);
  hold = true;  // what the second one asked for is tried when the first one has rolled to the reserve
  Fault::Release("journal.roll");
  first.join();
  hold = false;
  second.join();
}

TEST_F(JournalTest, SealsOnAFullDiskWithTheSpareOfTheReserve) {
  rig.FillSegment();
  ASSERT_TRUE(Fault::Arm("file.allocate=ENOSPC@*").ok());
  while (rig.Append(std::string(60000, 'n')).ok()) continue;
  ASSERT_TRUE(Fault::Arm("file.allocate=ENOSPC@*,journal.roll=pause@1").ok());
  std::thread urgent([&] { EXPECT_TRUE(rig.Append(std::string(60000, 'u'), true).ok()); });
  Fault::AwaitPasses("journal.roll", 1);
  std::atomic<pid_t> id = 0;
  std::thread closing([&] {
    id = ::gettid();
    EXPECT_TRUE(rig.journal->Seal().ok());
  });
  while (id == 0) std::this_thread::yield();
  AwaitAsleep(id);  // with the journal's mutex: the spare is its own
  Fault::Release("journal.roll");
  closing.join();
  urgent.join();
  ASSERT_TRUE(Fault::Arm("").ok());
  const size_t appended = rig.model.size();
  ASSERT_TRUE(rig.Open().ok());
  EXPECT_EQ(rig.journal->appended().value, appended);
}

TEST_F(JournalTest, OpensOnAFullDiskWithTheReserve) {
  ASSERT_TRUE(rig.Append("a").ok());
  rig.journal.reset();
  ASSERT_TRUE(Fault::Arm("file.allocate=ENOSPC@*").ok());
  ASSERT_TRUE(rig.Open().ok());
  EXPECT_EQ(rig.Append("n").code(), ENOSPC);
  EXPECT_TRUE(rig.Append("u", true).ok());
  ASSERT_TRUE(Fault::Arm("").ok());
  EXPECT_TRUE(rig.Append("n").ok());
  ASSERT_TRUE(rig.Open().ok());
  EXPECT_EQ(rig.journal->appended(), Seq(3));
}

TEST_F(JournalTest, TheReserveFollowsItsSize) {
  const auto reserve = [this] { return fs::file_size(rig.path + "/reserve"); };
  rig.options.reserve_bytes = 128 << 10;
  ASSERT_TRUE(rig.Open().ok());
  EXPECT_EQ(reserve(), uint64_t{128} << 10);
  rig.options.reserve_bytes = 512 << 10;
  ASSERT_TRUE(Fault::Arm("file.allocate=ENOSPC@*").ok());
  ASSERT_TRUE(rig.Open().ok());  // on a full disk the smaller one serves
  EXPECT_TRUE(rig.Append("u", true).ok());
  ASSERT_TRUE(Fault::Arm("").ok());
  ASSERT_TRUE(rig.Open().ok());
  EXPECT_EQ(reserve(), uint64_t{512} << 10);
}

TEST_F(JournalTest, WritersWaitWhileRetentionIsBehind) {
  std::atomic<bool> behind = false, has_room = false;
  std::atomic<int> asked = 0;
  rig.options.behind = [&] {
    ++asked;
    return behind.load();
  };
  ASSERT_TRUE(rig.Open().ok());
  while (asked == 0) std::this_thread::yield();  // for the first spare
  rig.journal->AwaitRoom();
  behind = true;
  rig.FillSegment();
  for (const int seen = asked; asked < seen + 3;) std::this_thread::yield();
  std::thread writer([&] {
    rig.journal->AwaitRoom();
    has_room = true;
  });
  for (const int seen = asked; asked < seen + 3;) std::this_thread::yield();
  EXPECT_FALSE(has_room);
  behind = false;
  writer.join();
  rig.journal->AwaitRoom();
  rig.journal.reset();  // it asks what goes with this frame
}

// Who holds locks appends and does not wait: a few segments are passed over what retention allows.
TEST_F(JournalTest, ARecordIsNotHeldBack) {
  std::atomic<bool> behind = false;
  std::atomic<int> asked = 0;
  rig.options.behind = [&] {
    ++asked;
    return behind.load();
  };
  ASSERT_TRUE(rig.Open().ok());
  while (asked == 0) std::this_thread::yield();
  behind = true;
  std::atomic<bool> done = false;
  std::thread writer([&] {
    for (const bool urgent : {true, false, true, false}) {
      EXPECT_TRUE(rig.Append(std::string(900 << 10, 'u'), urgent).ok());
    }
    done = true;
  });
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!done && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  EXPECT_TRUE(done);
  behind = false;
  writer.join();
  rig.journal.reset();
}

// What retention is behind with is sealed segments.
TEST_F(JournalTest, SegmentsAreSealedWhileWritersAreHeldBack) {
  std::atomic<bool> behind = false, over = false;
  std::atomic<int> asked = 0, written = 0;
  rig.options.behind = [&] {
    ++asked;
    return behind.load();
  };
  ASSERT_TRUE(rig.Open().ok());
  while (asked == 0) std::this_thread::yield();
  behind = true;
  const std::string big(900 << 10, 'w');
  struct iovec part {
    const_cast<char*>(big.data()), big.size()
  };
  const Journal::Body body{&part, 1, static_cast<uint32_t>(big.size()), 1, Hash64(AsBytes(big))};
  std::thread writer([&] {
    for (; !over; ++written) {
      rig.journal->AwaitRoom();
      EXPECT_TRUE(rig.journal->Append(body, 0, false, {}).ok());
    }
  });
  const auto comes = [](const auto& condition) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!condition() && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
    return condition();
  };
  const int seen = asked;
  EXPECT_TRUE(comes([&] { return asked >= seen + 10; }));  // the writer waits
  for (int i = 0; i < 8; ++i) {
    const size_t sealed = rig.journal->SealedSegments().size();
    const auto begun = std::chrono::steady_clock::now();
    const int before = asked, written_before = written;
    for (int k = 0; k < 2; ++k) ASSERT_TRUE(rig.journal->Append(body, 0, true, {}).ok());
    EXPECT_TRUE(comes([&] { return rig.journal->SealedSegments().size() > sealed; }));
    // Every 50 ms, and when something else is wanted: also whenever the writer took what was prepared for us.
    const int more = asked - before, wanted = 4 * (written - written_before);
    EXPECT_LT(more, 50 + wanted + (std::chrono::steady_clock::now() - begun) / std::chrono::milliseconds(50));
  }
  over = true;
  behind = false;
  writer.join();
  rig.journal.reset();
}

TEST_F(JournalTest, SealMakesTheSegmentImmutableAndListed) {
  ASSERT_TRUE(rig.Append("one").ok());
  ASSERT_TRUE(rig.journal->Seal().ok());
  ASSERT_TRUE(rig.journal->Seal().ok());  // nothing to seal
  auto sealed = rig.journal->SealedSegments();
  ASSERT_EQ(sealed.size(), 1u);
  EXPECT_EQ(sealed[0].first, Seq(1));
  EXPECT_EQ(sealed[0].last, Seq(1));
  EXPECT_EQ(fs::file_size(rig.File(sealed[0].id)), sealed[0].bytes);
  ASSERT_TRUE(rig.Append("two").ok());
  EXPECT_GT(rig.model[1].at.segment, rig.model[0].at.segment);
}

TEST_F(JournalTest, ADeletedSegmentIsNotMissed) {
  ASSERT_TRUE(rig.Append("one").ok());
  ASSERT_TRUE(rig.journal->Seal().ok());
  const Written one = rig.model[0];
  const uint64_t sealed = rig.journal->SealedSegments()[0].bytes;
  // A spare is prepared beside us: only when it is there do the sizes stay. (The active segment is smaller than a spare
  // unless Seal found one that was ready.)
  while (rig.journal->DiskBytes() <= sealed + rig.options.segment_bytes + rig.options.reserve_bytes) {
    std::this_thread::yield();
  }
  const uint64_t before = rig.journal->DiskBytes();
  ASSERT_TRUE(rig.journal->Delete(one.at.segment).ok());
  EXPECT_EQ(rig.journal->DiskBytes(), before - sealed);
  EXPECT_EQ(rig.journal->Delete(one.at.segment).code(), ENOENT);
  // The index still points to the end of the deleted segment.
  const JournalPosition from{.last = Seq(1), .segment = one.at.segment, .offset = one.at.offset + one.at.length};
  ASSERT_TRUE(rig.Open(from).ok());
  ASSERT_TRUE(rig.Append("two").ok());
  ASSERT_TRUE(rig.Open(from).ok());
  EXPECT_EQ(rig.journal->appended(), Seq(2));
}

// The file of a deleted segment becomes another one; nothing of its former life is read again.
TEST_F(JournalTest, AKeptFileIsUsedAgain) {
  rig.FillSegment();
  rig.FillSegment();
  rig.FillSegment();
  ASSERT_TRUE(rig.journal->Seal().ok());
  const std::vector<SegmentInfo> sealed = rig.journal->SealedSegments();
  ASSERT_GE(sealed.size(), 3u);
  const auto kept = InodeOf(rig.File(sealed[1].id));  // the first is smaller
  ASSERT_TRUE(rig.journal->Delete(sealed[0].id, true).ok());
  ASSERT_TRUE(rig.journal->Delete(sealed[1].id, true).ok());
  EXPECT_FALSE(fs::exists(rig.File(sealed[1].id)));
  const Appended at = rig.model.back().at;
  const JournalPosition from{.last = at.seq, .segment = at.segment, .offset = at.offset + at.length};
  while (InodeOf(rig.File(rig.model.back().at.segment)) != kept) ASSERT_TRUE(rig.Append(std::string(60000, 'x')).ok());
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(rig.Append("short" + std::to_string(i)).ok());
    ASSERT_EQ(InodeOf(rig.File(rig.model.back().at.segment)), kept);
  }
  ASSERT_TRUE(rig.Open(from).ok());
  EXPECT_EQ(rig.journal->appended(), Seq(rig.model.size()));
  EXPECT_EQ(rig.model.back().body, "short4");
}

// Where the pages of a kept file have left memory, an append waits for the page it begins in at most.
TEST_F(JournalTest, AppendingToAKeptFileReadsNoFormerContent) {
  for (int i = 0; i < 3; ++i) rig.FillSegment();
  ASSERT_TRUE(rig.journal->Seal().ok());
  const SegmentInfo first = rig.journal->SealedSegments()[0], second = rig.journal->SealedSegments()[1];
  const auto kept = InodeOf(rig.File(second.id));
  ASSERT_TRUE(rig.journal->Delete(first.id, true).ok());  // smaller: not kept
  ASSERT_TRUE(rig.journal->Delete(second.id, true).ok());
  while (InodeOf(rig.File(rig.model.back().at.segment)) != kept) ASSERT_TRUE(rig.Append(std::string(60000, 'x')).ok());
  ASSERT_TRUE(rig.journal->Sync(kLatest).ok());
  const UniqueFd fd(::open(rig.File(rig.model.back().at.segment).c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(fd.valid());
  file::DropCached(fd.get());
  const uint64_t before = BytesReadByThisThread();
  ASSERT_TRUE(rig.Append(std::string(5000, 'y')).ok());
  const uint64_t read = BytesReadByThisThread() - before;
  if (read == 0) GTEST_SKIP() << "what is dropped is not read from a disk here";
  EXPECT_LE(read, 4096u);
}

// Whoever read it last (packing) did so by large pieces; each append would walk all blocks of one.
TEST_F(JournalTest, AKeptFileBeginsWithoutCachedPages) {
  for (int i = 0; i < 3; ++i) rig.FillSegment();
  ASSERT_TRUE(rig.journal->Seal().ok());
  const SegmentInfo second = rig.journal->SealedSegments()[1];
  const UniqueFd fd(::open(rig.File(second.id).c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(fd.valid());
  ASSERT_TRUE(file::ReadAll(AT_FDCWD, rig.File(second.id)).ok());
  const size_t before = CachedPages(fd.get());
  ASSERT_GE(before, second.bytes / kPage);
  ASSERT_TRUE(rig.journal->Delete(second.id, true).ok());
  const auto kept = InodeOf("/proc/self/fd/" + std::to_string(fd.get()));
  while (InodeOf(rig.File(rig.model.back().at.segment)) != kept) ASSERT_TRUE(rig.Append(std::string(60000, 'x')).ok());
  EXPECT_LT(CachedPages(fd.get()), before / 2) << "of one append, the header, and zeros behind the former end";
}

TEST_F(JournalTest, KeptFilesGoWhenSpaceIsWantedAndAtOpen) {
  rig.FillSegment();
  rig.FillSegment();
  rig.FillSegment();
  ASSERT_TRUE(rig.journal->Seal().ok());
  const std::vector<SegmentInfo> sealed = rig.journal->SealedSegments();
  const auto left = [this] {
    return std::count_if(fs::directory_iterator(rig.path), fs::directory_iterator(),
                         [](const auto& entry) { return IsReuseName(entry.path().filename()); });
  };
  ASSERT_TRUE(rig.journal->Delete(sealed[1].id, true).ok());
  ASSERT_TRUE(rig.journal->DropKeptFiles().ok());
  EXPECT_EQ(left(), 0);
  std::fclose(std::fopen((rig.path + "/" + ReuseName(SegmentId(77))).c_str(), "w"));
  EXPECT_EQ(left(), 1);
  const Appended at = rig.model.back().at;
  ASSERT_TRUE(rig.Open({.last = at.seq, .segment = at.segment, .offset = at.offset + at.length}).ok());
  EXPECT_EQ(left(), 0);
}

TEST_F(JournalTest, DeletingSyncsWhatFollows) {
  rig.FillSegment();
  rig.FillSegment();
  const auto next = std::find_if(rig.model.begin(), rig.model.end(),
                                 [&](const Written& w) { return w.at.segment != rig.model[0].at.segment; });
  rig.journal->Seal().Ignore("only to wait for the sealing of the first");
  ASSERT_TRUE(rig.journal->Delete(rig.model[0].at.segment).ok());
  EXPECT_GE(rig.journal->synced(), next->at.seq);
}

TEST_F(JournalTest, PacksAndSegmentsShareOneIdSpace) {
  const SegmentId pack = rig.journal->NewSegmentId();
  rig.FillSegment();
  rig.FillSegment();
  for (const Written& w : rig.model) EXPECT_NE(w.at.segment, pack);
  const SegmentId high(rig.model.back().at.segment.value + 100);
  rig.journal.reset();
  std::FILE* f = std::fopen((rig.path + "/" + SegmentName(high, SegmentKind::kPack)).c_str(), "w");
  std::fclose(f);
  ASSERT_TRUE(rig.Open().ok());
  EXPECT_GT(rig.journal->NewSegmentId(), high);
}

TEST_F(JournalTest, EachOpenRaisesTheEpoch) {
  const uint64_t epoch = rig.journal->epoch();
  ASSERT_TRUE(rig.Open().ok());
  EXPECT_EQ(rig.journal->epoch(), epoch + 1);
  ASSERT_TRUE(rig.Append("a").ok());
  ASSERT_TRUE(rig.Open().ok());
  EXPECT_EQ(rig.journal->epoch(), epoch + 2);
  EXPECT_EQ(rig.journal->SealedSegments().size(), 1u);  // empty ones are removed
}

TEST_F(JournalTest, RecordsCarryTheTimeReadUnderTheMutex) {
  int64_t now = 1000;
  rig.options.clock.wall = [&] { return TimeSpec{now++, 5}; };
  ASSERT_TRUE(rig.Open().ok());
  ASSERT_TRUE(rig.Append("a").ok());
  ASSERT_TRUE(rig.Append("b").ok());
  EXPECT_EQ(rig.model[0].at.time, (TimeSpec{1000, 5}));
  EXPECT_EQ(rig.model[1].at.time, (TimeSpec{1001, 5}));
}

}  // namespace
}  // namespace dkfs
