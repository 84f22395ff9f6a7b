#include "fs/profile/profiler.h"

#include <gtest/gtest.h>

#include <map>

namespace dkfs {
namespace {

using std::chrono::seconds;

constexpr uint64_t kMiB = 1 << 20;

ProfilerOptions Options() {
  ProfilerOptions options;
  options.dwell = seconds(10);
  options.bandit.full_evidence_bytes = 4.0 * kMiB;
  options.bandit.explore = 0.2;
  return options;
}

// Files that are written at a steady rate, with what each layout costs them.
class World {
 public:
  explicit World(const ProfilerOptions& options) : profiler(options) {}

  struct File {
    uint64_t bytes_per_second = 4 * kMiB, write_size = 8192;
    double sequential = 0, rewritten = 0.9;
    double hydration_share = 0;                          // bytes to be read back for each byte written
    double (*store_share)(const FileLayout&) = nullptr;  // store bytes for each byte written
    bool slow_tried = true;                              // level 9 as well
    hotness_file counts{};
    uint64_t pages = 0, rewritten_pages = 0;
    size_t layout = kDefaultChoice;
    std::vector<int> changed_at;
  };

  void Run(int duration) {
    for (int end = now + duration; now < end; ++now) {
      for (auto& [id, file] : files) Step(FileId(id), file);
      for (const Profiler::Change& change : profiler.Decide(seconds(now))) {
        File& file = files.at(change.file.value);
        EXPECT_EQ(file.layout, change.from);
        file.layout = change.to;
        file.changed_at.push_back(now);
      }
    }
  }

  Profiler profiler;
  std::map<uint64_t, File> files;
  int now = 0;

  static PackingTrial TrialOf(const File& file) {
    PackingTrial trial;
    for (size_t way = 0; way < kPackings.size(); ++way) {
      if (kPackings[way].level == 9 && !file.slow_tried) continue;
      trial.ways[way].share = file.store_share(LayoutChoices()[ShapeOf(file.layout) * kPackings.size() + way]);
    }
    return trial;
  }

 private:
  void Step(FileId id, File& file) {
    const uint64_t writes = file.bytes_per_second / file.write_size;
    file.counts.born = 1;
    file.counts.writes += writes;
    file.counts.bytes += file.bytes_per_second;
    file.counts.sequential += static_cast<uint64_t>(file.sequential * static_cast<double>(writes));
    file.pages += file.bytes_per_second / 4096;
    file.rewritten_pages += static_cast<uint64_t>(file.rewritten * static_cast<double>(file.bytes_per_second / 4096));
    profiler.Look(id, file.counts, file.pages, file.rewritten_pages, seconds(now));
    CaptureCost cost;
    cost.written = cost.store = file.bytes_per_second;
    cost.hydration_bytes = static_cast<uint64_t>(file.hydration_share * static_cast<double>(file.bytes_per_second));
    profiler.SetTrial(id, TrialOf(file));
    profiler.ChargeUnpacked(id, cost);
  }
};

double PaysForDelta(const FileLayout& c) { return c.policy.delta ? (c.block_shift == 12 ? 0.1 : 0.2) : 0.8; }
// Compressed media: nothing makes it smaller, and trying costs a little.
double NeverSmaller(const FileLayout& c) {
  return 1.0 + (c.policy.delta ? 0.2 : 0) + (c.policy.compression > 0 ? 0.2 : 0);
}

World::File FileOf(double (*store_share)(const FileLayout&)) {
  World::File file;
  file.store_share = store_share;
  return file;
}

// Large sequential writes that come once.
World::File MediaFile() {
  World::File file = FileOf(NeverSmaller);
  file.write_size = kMiB;
  file.sequential = 1;
  file.rewritten = 0;
  return file;
}

TEST(ContextTest, IsWhatTheWritesLookLike) {
  hotness_file counts{};
  counts.writes = 100;
  counts.bytes = 100 * 8192;
  EXPECT_EQ("pages, scattered, never rewritten", ContextOf(counts, 200, 0).ToString());
  counts.sequential = 99;
  EXPECT_EQ("pages, sequential, mostly rewritten", ContextOf(counts, 200, 190).ToString());
  counts.bytes = 100 * kMiB;
  EXPECT_EQ("huge, sequential, rewritten at times", ContextOf(counts, 100, 30).ToString());
  WriteContext last = ContextOf(counts, 100, 100);
  last.packed = true;
  EXPECT_EQ("huge, sequential, mostly rewritten, compressed", last.ToString());
  EXPECT_EQ(kWriteContexts - 1, last.index());
}

TEST(LayoutChoiceTest, TheDefaultIsFirstAndAllAreLegal) {
  EXPECT_EQ(FileLayout(), LayoutChoices()[kDefaultChoice]);
  for (const FileLayout& choice : LayoutChoices()) {
    EXPECT_GE(choice.block_shift, kMinBlockShift);
    EXPECT_LE(choice.block_shift, kMaxBlockShift);
    EXPECT_TRUE(IsSpelled(choice.policy));
    EXPECT_EQ(choice, *ParseLayout(LayoutText(choice)));
    EXPECT_EQ(choice, LayoutChoices()[NearestChoice(choice)]);
  }
}

TEST(LayoutChoiceTest, BlocksMuchLargerThanTheWritesAreNotTried) {
  WriteContext context;
  context.order = 2;  // a stream
  for (context.size = 0; context.size < 4; ++context.size) {
    const uint64_t sane = SaneChoices(context);
    EXPECT_TRUE(sane & Bit(kDefaultChoice));
    for (size_t i = 0; i < LayoutChoices().size(); ++i) {
      const FileLayout& choice = LayoutChoices()[i];
      const bool tried = (sane >> i & 1) != 0;
      EXPECT_TRUE(choice.block_shift != 20 || tried == (context.size == 3)) << LayoutText(choice);
      EXPECT_TRUE(choice.block_shift != 16 || choice.policy.delta || tried == (context.size >= 2))
          << LayoutText(choice);
    }
  }
}

TEST(LayoutChoiceTest, LargeWholeBlocksAreForStreams) {
  WriteContext context;
  context.size = 3;
  context.rewrites = 2;
  for (context.order = 0; context.order < 3; ++context.order) {
    for (size_t i = 0; i < LayoutChoices().size(); ++i) {
      const FileLayout& choice = LayoutChoices()[i];
      const bool large = choice.block_shift > kDefaultBlockShift && !choice.policy.delta;
      EXPECT_FALSE(large && (SaneChoices(context) >> i & 1) != 0) << LayoutText(choice);
    }
  }
}

TEST(LayoutChoiceTest, LongFramesAreForStreams) {
  const size_t of_the_default = NearestChoice({kDefaultBlockShift, {.compression = 1, .long_frames = true}});
  ASSERT_TRUE(LayoutChoices()[of_the_default].policy.long_frames);
  WriteContext context;
  for (context.order = 0; context.order < 3; ++context.order) {
    for (context.rewrites = 0; context.rewrites < 3; ++context.rewrites) {
      EXPECT_EQ(context.order == 2 && context.rewrites == 0, (SaneChoices(context) & Bit(of_the_default)) != 0);
    }
  }
}

TEST(ProfilerTest, AStreamThatRepeatsItselfGetsLongFramesUntilItIsRewritten) {
  World world(Options());
  World::File& dump = world.files[2] = MediaFile();
  dump.store_share = [](const FileLayout& c) { return c.policy.long_frames ? 0.1 : 0.4; };
  world.Run(300);
  EXPECT_TRUE(LayoutChoices()[dump.layout].policy.long_frames) << LayoutText(LayoutChoices()[dump.layout]);
  dump.rewritten = 0.9;
  dump.sequential = 0;
  dump.write_size = 8192;
  world.Run(11);
  EXPECT_FALSE(LayoutChoices()[dump.layout].policy.long_frames);
}

TEST(ProfilerTest, LongFramesMustSaveMoreThanReadingThemCosts) {
  World world(Options());
  World::File& dump = world.files[2] = MediaFile();
  dump.store_share = [](const FileLayout& c) { return c.policy.long_frames ? 0.35 : 0.4; };
  dump.hydration_share = 1;
  world.Run(300);
  EXPECT_FALSE(LayoutChoices()[dump.layout].policy.long_frames) << LayoutText(LayoutChoices()[dump.layout]);
}

TEST(ProfilerTest, AColdFileIsLeftAlone) {
  World world(Options());
  world.files[2] = FileOf(NeverSmaller);
  world.files[2].bytes_per_second = 8192;
  world.Run(600);
  EXPECT_TRUE(world.files[2].changed_at.empty());
}

TEST(ProfilerTest, DataThatNeverShrinksStopsPayingForDeltaAndCompression) {
  World world(Options());
  world.files[2] = MediaFile();
  world.Run(900);
  const FileLayout& chosen = LayoutChoices()[world.files[2].layout];
  EXPECT_FALSE(chosen.policy.delta) << LayoutText(chosen);
  EXPECT_EQ(0, chosen.policy.compression) << LayoutText(chosen);
}

TEST(ProfilerTest, ALayoutThatIsHardlyBetterDoesNotEndTheSearch) {
  World world(Options());
  world.files[1].store_share = [](const FileLayout& l) {
    return (l.policy.delta ? 1 : 0.5) - l.policy.compression * 1e-4;
  };
  world.Run(600);
  EXPECT_FALSE(LayoutChoices()[world.files[1].layout].policy.delta);
}

TEST(ProfilerTest, PagesThatChangeALittleKeepDelta) {
  World world(Options());
  world.files[2] = FileOf(PaysForDelta);
  world.Run(900);
  EXPECT_TRUE(LayoutChoices()[world.files[2].layout].policy.delta);
}

TEST(ProfilerTest, AFileKeepsALayoutForTheDwellTime) {
  World world(Options());
  for (uint64_t id = 2; id < 8; ++id) world.files[id] = FileOf(id % 2 == 0 ? PaysForDelta : NeverSmaller);
  world.Run(600);
  bool changed = false;
  for (auto& [id, file] : world.files) {
    int last = -10;  // the first may come at once
    for (int at : file.changed_at) {
      EXPECT_GE(at - last, 10) << "file " << id;
      last = at;
      changed = true;
    }
  }
  EXPECT_TRUE(changed);
}

TEST(ProfilerTest, OneFileAtATimeTriesForAContext) {
  World world(Options());
  for (uint64_t id = 2; id < 50; ++id) world.files[id] = FileOf(PaysForDelta);
  for (int i = 0; i < 200; ++i) {
    world.Run(1);
    int others = 0;
    for (auto& [id, file] : world.files) others += LayoutChoices()[file.layout].policy.delta ? 0 : 1;
    EXPECT_LE(others, 1) << "at " << i << ": layouts without delta are known to be bad or being tried";
  }
}

TEST(ProfilerTest, FilesWrittenAlikeTeachEachOther) {
  World world(Options());
  world.files[2] = MediaFile();
  world.Run(900);
  world.files[3] = world.files[2];
  world.files[3].layout = kDefaultChoice;
  world.files[3].changed_at.clear();
  world.Run(30);
  const FileLayout& chosen = LayoutChoices()[world.files[3].layout];
  EXPECT_EQ(0, chosen.policy.compression) << LayoutText(chosen);
  EXPECT_LE(world.files[3].changed_at.size(), 2u);
}

TEST(ProfilerTest, ExplainsWhatItChoseAndWhatTheOthersCost) {
  World world(Options());
  world.files[2] = FileOf(PaysForDelta);
  world.Run(300);
  auto explained = world.profiler.Explain(FileId(2), seconds(world.now));
  ASSERT_TRUE(explained);
  EXPECT_EQ(world.files[2].layout, explained->choice);
  EXPECT_EQ("pages, scattered, mostly rewritten", explained->context.ToString());
  EXPECT_NEAR(4.0 * kMiB, explained->bytes_per_second, 0.4 * kMiB);
  EXPECT_EQ(LayoutChoices().size(), explained->cost.size());
  EXPECT_NE("", explained->reason);
  EXPECT_FALSE(world.profiler.Explain(FileId(99), seconds(0)));
}

TEST(ProfilerTest, AFileTooLargeToChangeItsBlocksIsOfferedThatSizeAlone) {
  World world(Options());
  world.files[2] = MediaFile();
  world.profiler.Look(FileId(2), {}, 0, 0, seconds(0));
  world.profiler.SetLayout(FileId(2), FileLayout(), /*resizable=*/false);
  world.Run(900);
  const FileLayout& chosen = LayoutChoices()[world.files[2].layout];
  EXPECT_EQ(kDefaultBlockShift, chosen.block_shift) << LayoutText(chosen);
  EXPECT_EQ(0, chosen.policy.compression) << LayoutText(chosen);
}

TEST(ProfilerTest, WhatAHintNamesIsNeverChanged) {
  World world(Options());
  world.files[2] = MediaFile();
  world.profiler.Look(FileId(2), {}, 0, 0, seconds(0));
  world.profiler.SetLayout(FileId(2), FileLayout(), true, /*pinned=*/true);
  world.Run(300);
  EXPECT_TRUE(world.files[2].changed_at.empty());
  EXPECT_EQ("a hint names it", world.profiler.Explain(FileId(2), seconds(300))->reason);
}

TEST(ProfilerTest, HottestComesFirst) {
  World world(Options());
  world.files[2] = FileOf(PaysForDelta);
  world.files[2].bytes_per_second = kMiB;
  world.files[3] = FileOf(PaysForDelta);
  world.files[3].bytes_per_second = 9 * kMiB;
  world.Run(60);
  auto order = world.profiler.ByRate(seconds(60));
  ASSERT_EQ(2u, order.size());
  EXPECT_EQ(FileId(3), order[0].first);
}

TEST(ProfilerTest, MemoryIsBoundedAndTheColdestGoes) {
  ProfilerOptions options = Options();
  options.most_files = 10;
  World world(options);
  world.files[2] = FileOf(PaysForDelta);
  world.Run(60);
  hotness_file counts{};
  for (uint64_t id = 100; id < 200; ++id) world.profiler.Look(FileId(id), counts, 0, 0, seconds(60));
  EXPECT_LE(world.profiler.ByRate(seconds(60)).size(), 10u);
  EXPECT_TRUE(world.profiler.Explain(FileId(2), seconds(60))) << "hot";
}

TEST(ProfilerTest, HowAFileIsPackedChangesBeforeTheDwellTimeButOnce) {
  World world(Options());
  world.files[2] = FileOf([](const FileLayout& c) { return c.policy.compression == 1 ? 0.2 : 0.6; });
  world.Run(3);
  ASSERT_EQ(1u, world.files[2].changed_at.size());
  EXPECT_EQ(1, LayoutChoices()[world.files[2].layout].policy.compression);
  world.files[2].store_share = [](const FileLayout& c) { return c.policy.compression == 9 ? 0.1 : 0.6; };
  world.Run(8);
  EXPECT_EQ(1u, world.files[2].changed_at.size());
}

TEST(ProfilerTest, OtherLevelsAreLearnedWithoutBeingTried) {
  World world(Options());
  world.files[2] = FileOf([](const FileLayout& c) { return c.policy.compression == 1 ? 0.2 : 0.6; });
  world.Run(30);
  ASSERT_FALSE(world.files[2].changed_at.empty());
  EXPECT_LE(world.files[2].changed_at.front(), 11);
  EXPECT_EQ(1, LayoutChoices()[world.files[2].layout].policy.compression);
}

TEST(ProfilerTest, ALevelThatIsTriedOnOneFileIsNotJudgedByThatFileAlone) {
  World world(Options());
  world.files[2] = FileOf([](const FileLayout& c) { return c.policy.compression == 9 ? 0.196 : 0.2; });
  world.files[3] = FileOf([](const FileLayout& c) { return c.policy.compression == 9 ? 0.784 : 0.8; });
  world.files[3].slow_tried = false;
  for (int turn = 0; turn < 30; ++turn) {
    world.Run(1);
    EXPECT_EQ(3, LayoutChoices()[world.files[2].layout].policy.compression);
    EXPECT_EQ(3, LayoutChoices()[world.files[3].layout].policy.compression);
  }
  const auto explained = world.profiler.Explain(FileId(2), seconds(30));
  EXPECT_NEAR(0.98, explained->cost[kDefaultChoice + 2] / explained->cost[kDefaultChoice], 0.005);
}

TEST(ProfilerTest, WithoutATrialNothingIsLearned) {
  Profiler profiler(Options());
  hotness_file counts{};
  counts.bytes = 64 * kMiB;
  counts.writes = 8192;
  profiler.Look(FileId(2), counts, 0, 0, seconds(1));
  EXPECT_TRUE(profiler.WantsTrial(FileId(2)));
  profiler.ChargeUnpacked(FileId(2), {64 * kMiB, 64 * kMiB, 0, 0});
  EXPECT_EQ(0, profiler.Explain(FileId(2), seconds(1))->evidence[kDefaultChoice]);
  PackingTrial trial;
  trial.ways[0] = {0.5, 1};
  profiler.SetTrial(FileId(2), trial);
  EXPECT_FALSE(profiler.WantsTrial(FileId(2)));
  profiler.ChargeUnpacked(FileId(2), {64 * kMiB, 64 * kMiB, 0, 0});
  auto explained = profiler.Explain(FileId(2), seconds(1));
  EXPECT_EQ(1, explained->evidence[kDefaultChoice]);
  EXPECT_EQ(0, explained->evidence[kDefaultChoice + 1]) << "a level that was not tried";
}

TEST(ProfilerTest, WhatNothingMakesSmallerIsAContextOfItsOwn) {
  World world(Options());
  world.files[2] = FileOf([](const FileLayout&) { return 0.99; });
  world.files[3] = FileOf([](const FileLayout&) { return 0.5; });
  world.Run(5);
  EXPECT_TRUE(world.profiler.Explain(FileId(2), seconds(5))->context.packed);
  EXPECT_FALSE(world.profiler.Explain(FileId(3), seconds(5))->context.packed);
}

TEST(ProfilerTest, ANewFileBeginsWithWhatItsContextTaught) {
  World world(Options());
  world.files[2] = FileOf([](const FileLayout& c) { return c.policy.compression == 1 ? 0.2 : 0.6; });
  EXPECT_FALSE(world.profiler.BeginningFor({}).best);
  world.Run(30);
  const WriteContext context = *world.profiler.ContextOfFile(FileId(2));
  const auto beginning = world.profiler.BeginningFor(context);
  ASSERT_TRUE(beginning.best);
  EXPECT_EQ(1, beginning.best->policy.compression);
  WriteContext other = context;
  other.order = 2;
  EXPECT_FALSE(world.profiler.BeginningFor(other).best);
}

TEST(ProfilerTest, ContentIsNotRecordedAnewForLittle) {
  World world(Options());
  world.files[2] = FileOf(PaysForDelta);
  world.files[2].bytes_per_second = 128 << 10;
  world.profiler.Look(FileId(2), {}, 0, 0, seconds(0));
  world.profiler.SetLayout(FileId(2), FileLayout(), true, false, 100 * kMiB);  // much more than it writes
  world.Run(600);
  EXPECT_EQ(kDefaultBlockShift, LayoutChoices()[world.files[2].layout].block_shift);
}

TEST(ProfilerTest, ShapesOfThisBlockSizeAreTriedWhereOthersDoNotPay) {
  World world(Options());
  world.files[2] = FileOf([](const FileLayout& l) { return l.policy.delta ? 0.8 : 0.2; });
  world.files[2].bytes_per_second = 128 << 10;
  world.profiler.Look(FileId(2), {}, 0, 0, seconds(0));
  world.profiler.SetLayout(FileId(2), FileLayout(), true, false, 100 * kMiB);
  world.Run(900);
  const FileLayout& chosen = LayoutChoices()[world.files[2].layout];
  EXPECT_EQ(kDefaultBlockShift, chosen.block_shift);
  EXPECT_FALSE(chosen.policy.delta) << LayoutText(chosen);
}

TEST(ProfilerTest, CostCountsStoreCpuAndHydration) {
  ProfilerOptions options;
  options.cpu_weight = 0.5;
  options.hydration_weight = 0.25;
  EXPECT_DOUBLE_EQ(0.5 + 0.1 + 0.25, Profiler(options).CostOf({1000, 400, 100, 200, 1000}));
  EXPECT_EQ(0, Profiler(options).CostOf({}));
}

}  // namespace
}  // namespace dkfs
