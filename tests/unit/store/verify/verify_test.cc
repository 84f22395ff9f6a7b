// Whatever is damaged is named; a whole store is not accused.
#include "store/verify/verify.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "store/store.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/store/model.h"

namespace dkfs::test {
namespace {

namespace fs = std::filesystem;

class VerifyTest : public testing::Test {
 protected:
  void SetUp() override {
    StoreOptions options;
    options.background = false;
    options.segment_bytes = 1 << 20;
    Result<std::unique_ptr<Store>> opened = Store::Open(path_, options);
    ASSERT_TRUE(opened.ok()) << opened.status().ToString();
    driver_.Use(opened->get());
    driver_.Begin();
    for (int i = 0; i < 200; ++i) driver_.Step();
    ASSERT_TRUE((*opened)->Close().ok());
  }
  // The damages named, one a line.
  std::string Damages(bool quick = false) {
    VerifyOptions options;
    options.quick = quick;
    std::string lines;
    options.on_damage = [&](const std::string& line) { lines += line + "\n"; };
    VerifyResult result;
    Status status = Verify(path_, options, &result);
    return status.ok() ? lines : "error: " + status.ToString();
  }
  // The oldest; the last of them may hold nothing yet.
  std::string FirstSegment() {
    std::string first;
    for (const auto& entry : fs::directory_iterator(path_ + "/journal")) {
      if (entry.path().extension() != ".seg" || entry.file_size() <= 100'000) continue;
      if (first.empty() || entry.path() < first) first = entry.path();
    }
    return first;
  }

  TempDir dir_;
  std::string path_ = dir_ / "store";
  Driver driver_{TestSeed()};
};

TEST_F(VerifyTest, AWholeStoreHasNoDamage) {
  EXPECT_EQ(Damages(), "");
  EXPECT_EQ(Damages(true), "");
}

TEST_F(VerifyTest, AnyFlippedByteOfARecordIsFound) {
  const std::string segment = FirstSegment();
  ASSERT_NE(segment, "");
  const std::string content = ContentOf(segment);
  for (int i = 0; i < 8; ++i) {
    std::string damaged = content;
    damaged[driver_.random().Below(content.size())] ^= 0x20;
    PutFile(segment, damaged);
    const std::string found = Damages();
    EXPECT_NE(found.find(fs::path(segment).filename()), std::string::npos) << found;
  }
  PutFile(segment, content);
  EXPECT_EQ(Damages(), "");
}

TEST_F(VerifyTest, ACutOrMissingSegmentIsFound) {
  const std::string segment = FirstSegment();
  const std::string content = ContentOf(segment);
  PutFile(segment, content.substr(0, content.size() / 2));
  EXPECT_NE(Damages(true), "");
  fs::remove(segment);
  EXPECT_NE(Damages(true).find("missing"), std::string::npos) << Damages(true);
}

TEST_F(VerifyTest, ADamagedIndexIsNamed) {
  for (const auto& entry : fs::directory_iterator(path_ + "/index")) {
    if (entry.path().filename().string().starts_with("MANIFEST")) PutFile(entry.path(), "x");
  }
  EXPECT_NE(Damages(true).find("index"), std::string::npos);
}

TEST_F(VerifyTest, WhatIsNoStoreIsAnError) {
  VerifyResult result;
  EXPECT_EQ(Verify(dir_ / "nothing", {}, &result).code(), ENOENT);
  fs::create_directory(dir_ / "other");
  PutFile(dir_ / "other/file", "");
  EXPECT_EQ(Verify(dir_ / "other", {}, &result).code(), EBADMSG);
}

}  // namespace
}  // namespace dkfs::test
