// Losses of power over seeded histories of a store; and the proof that the oracle would see what breaks a promise.
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>

#include "store/base/bytes.h"
#include "store/base/log.h"
#include "tests/crash/power/campaign.h"
#include "tests/support/temp_dir.h"

namespace dkfs::test {
namespace {

namespace fs = std::filesystem;

// In memory when that is there: an image costs milliseconds then.
class PowerTest : public testing::Test {
 protected:
  void SetUp() override {
    const std::string base = ::access("/dev/shm", W_OK) == 0 ? "/dev/shm" : testing::TempDir();
    scratch_ = base + "/dkfs-power-XXXXXX";
    ASSERT_NE(::mkdtemp(scratch_.data()), nullptr);
    if (const char* before = ::getenv("TMPDIR")) before_ = before;
    ::setenv("TMPDIR", scratch_.c_str(), 1);
    SetLogFd(-1);
    options_.scratch = scratch_;
    options_.keep = before_.empty() ? "/tmp" : before_;
    options_.report = [this](const std::string& line) { lines_.push_back(line); };
  }

  void TearDown() override {
    SetLogFd(STDERR_FILENO);
    if (before_.empty()) {
      ::unsetenv("TMPDIR");
    } else {
      ::setenv("TMPDIR", before_.c_str(), 1);
    }
    fs::remove_all(scratch_);
  }

  // Seeds until a bug that was sown is seen.
  bool IsFound(int seeds) {
    options_.keep = "";
    options_.stop_at_first = true;
    for (uint64_t seed = 1; seed <= static_cast<uint64_t>(seeds); ++seed) {
      const Status run = RunSeed(seed, options_, &tally_);
      EXPECT_TRUE(run.ok()) << run.ToString();
      if (tally_.violations > 0) return true;
    }
    return false;
  }

  void RunSeeds(uint64_t first, int seeds) {
    // A few more when chance left something out.
    const uint64_t enough = first + static_cast<uint64_t>(seeds), most = enough + 20;
    for (uint64_t seed = first; seed < enough || (seed < most && !tally_.missing().empty()); ++seed) {
      const Status run = RunSeed(seed, options_, &tally_);
      EXPECT_TRUE(run.ok()) << "seed " << seed << ": " << run.ToString();
    }
    for (const std::string& line : lines_) ADD_FAILURE() << line;
    std::printf("%s\n", tally_.Line().c_str());
    EXPECT_EQ(tally_.missing(), "");
  }

  std::string scratch_, before_;
  CampaignOptions options_;
  Tally tally_;
  std::vector<std::string> lines_;
};

bool Everything() {
  const char* all = ::getenv("DKFS_TEST_ALL");
  return all != nullptr && std::string_view(all) == "1";
}

TEST_F(PowerTest, NoLossOfPowerBreaksAPromise) { RunSeeds(TestSeed() << 16, Everything() ? 30 : 6); }

TEST_F(PowerTest, NorDoesAnyOfTheFixedSeeds) { RunSeeds(1, 2); }

TEST_F(PowerTest, ASkippedSyncOfTheJournalIsFound) {
  options_.faults = "journal.sync=skip@3+";
  EXPECT_TRUE(IsFound(6));
}

TEST_F(PowerTest, ASingleSkippedSyncOfTheJournalIsFound) {
  options_.faults = "journal.sync=skip@4";
  options_.points = 150;
  EXPECT_TRUE(IsFound(12));
}

TEST_F(PowerTest, ASkippedSyncOfTheJournalsNamesIsFound) {
  options_.faults = "file.syncdir=skip@*";
  EXPECT_TRUE(IsFound(6));
}

TEST_F(PowerTest, ASkippedSyncOfTheIndexIsFound) {
  options_.faults = "kv.sync=skip@*";
  EXPECT_TRUE(IsFound(6));
}

TEST_F(PowerTest, AWriteThatComesAfterItsSyncIsFound) {
  options_.delay_a_write = true;
  EXPECT_TRUE(IsFound(12));
}

TEST_F(PowerTest, ANameThatComesBackIsFound) {
  options_.judge_faults = "bug.name_stays=skip@*";
  EXPECT_TRUE(IsFound(6));
}

TEST_F(PowerTest, AStaleBlockIsFound) {
  options_.judge_faults = "bug.stale_block=skip@*";
  EXPECT_TRUE(IsFound(6));
}

// --- bugs sown in the image ---

constexpr size_t kLengthAt = 8;  // in a record's header

// The journal segment with most bytes.
std::string LargestSegment(const std::string& image) {
  std::string largest;
  uintmax_t bytes = 0;
  std::error_code unused;
  for (const auto& entry : fs::directory_iterator(image + "/journal", unused)) {
    if (entry.path().extension() != ".seg" || entry.file_size() <= bytes) continue;
    bytes = entry.file_size();
    largest = entry.path();
  }
  return largest;
}

TEST_F(PowerTest, ATornSyncedRecordIsFound) {
  options_.spoil = [](const std::string& image, Random* random) {
    const std::string path = LargestSegment(image);
    std::string content = path.empty() ? "" : ContentOf(path);
    const size_t first = 4096, used = content.find_last_not_of('\0');
    if (used == std::string::npos || used < first + 1024) return Status::Ok();
    content.replace(first + random->Below(used - first - 512), 512, std::string(512, '\0'));
    PutFile(path, content);
    return Status::Ok();
  };
  EXPECT_TRUE(IsFound(6));
}

TEST_F(PowerTest, TwoSwappedRecordsAreFound) {
  options_.spoil = [](const std::string& image, Random*) {
    const std::string path = LargestSegment(image);
    std::string content = path.empty() ? "" : ContentOf(path);
    const auto length = [&](size_t at) {
      return at + 128 < content.size() ? LoadLe<uint32_t>(content.data() + at + kLengthAt) : 0;
    };
    const size_t one = 4096, two = one + length(one), end = two + length(two);
    if (two == one || end == two || end > content.size()) return Status::Ok();
    PutFile(path, content.substr(0, one) + content.substr(two, end - two) + content.substr(one, two - one) +
                      content.substr(end));
    return Status::Ok();
  };
  EXPECT_TRUE(IsFound(6));
}

// --- what was not exercised ---

TEST_F(PowerTest, ARunThatExercisedNothingSaysSo) {
  options_.points = 1;
  options_.steps = 1;
  Tally tally;
  ASSERT_TRUE(RunSeed(1, options_, &tally).ok());
  EXPECT_NE(tally.missing(), "");
}

}  // namespace
}  // namespace dkfs::test
