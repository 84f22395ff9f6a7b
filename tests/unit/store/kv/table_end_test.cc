// A table whose end is damaged is Corruption, whatever RocksDB would make of it.
#include "store/kv/table_end.h"

#include <filesystem>

#include "tests/support/random.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/store/kv/kv_fixture.h"

namespace dkfs {
namespace {

class TableEndTest : public KvFixture {
 protected:
  void SetUp() override {
    KvFixture::SetUp();
    for (int i = 0; i < 100; ++i) Put(Family::kBlock, "key" + std::to_string(i) + "-version", std::string(100, 'v'));
    ASSERT_TRUE(Flush().ok());
    for (const auto& entry : std::filesystem::directory_iterator(path_)) {
      if (entry.path().extension() == ".sst" && (table_.empty() || entry.file_size() > content_.size())) {
        table_ = entry.path();
        content_ = *file::ReadAll(AT_FDCWD, table_);
      }
    }
    ASSERT_GT(content_.size(), kTableFooterBytes);
  }
  static bool IsWhole(const std::string& table) {
    return CheckTableEnd(table.size(),
                         [&](uint64_t at, size_t bytes) {
                           EXPECT_LE(at + bytes, table.size());
                           return Result<std::string>(table.substr(at, bytes));
                         })
        .ok();
  }
  std::string Flipped(size_t bit) const {
    std::string table = content_;
    table[bit / 8] = static_cast<char>(table[bit / 8] ^ 1 << bit % 8);
    return table;
  }
  // Where the properties begin, found without the code under test: they hold these names, in this order.
  size_t PropertiesBegin() const { return content_.find("rocksdb.block.based.table.index.type") - 3; }
  std::string table_, content_;
};

TEST_F(TableEndTest, WhatRocksDbWritesIsWhole) { EXPECT_TRUE(IsWhole(content_)); }

TEST_F(TableEndTest, NoFlippedBitOfWhatRocksDbReadsUncheckedPasses) {
  ASSERT_GT(content_.size(), PropertiesBegin());
  size_t passed = 0;
  for (size_t bit = PropertiesBegin() * 8; bit < content_.size() * 8; ++bit) {
    if (!IsWhole(Flipped(bit))) continue;
    // The index may be said to stand elsewhere; then the checksum of what is there is wrong.
    EXPECT_GE(bit / 8, content_.size() - kTableFooterBytes + 1);
    EXPECT_LT(bit / 8, content_.size() - kTableFooterBytes + 16);
    ++passed;
  }
  EXPECT_LT(passed, 40u);
}

TEST_F(TableEndTest, ATableOfAnotherSizeIsNone) {
  EXPECT_FALSE(IsWhole(content_ + "x"));
  for (size_t size = 0; size < content_.size(); ++size) EXPECT_FALSE(IsWhole(content_.substr(0, size))) << size;
  EXPECT_FALSE(IsWhole(content_.substr(1)));
}

TEST_F(TableEndTest, GarbageIsNone) {
  test::Random random(7);
  for (int i = 0; i < 20000; ++i) {
    std::string table = random.Text(random.Below(200));
    if (table.size() >= kTableFooterBytes && i % 2 == 0) {  // what only the handles can tell
      const std::string footer = content_.substr(content_.size() - kTableFooterBytes);
      table.replace(table.size() - 12, 12, footer.substr(41));
      table[table.size() - kTableFooterBytes] = footer[0];
    }
    EXPECT_FALSE(IsWhole(table));
  }
}

// In the file, one bit of each byte that RocksDB reads unchecked and all that pass: opening or reading answers
// Corruption, and nobody dies.
TEST_F(TableEndTest, EveryFlippedByteIsCorruption) {
  kv_.reset();
  for (size_t bit = PropertiesBegin() * 8; bit < content_.size() * 8; ++bit) {
    const std::string flipped = Flipped(bit);
    const bool chosen = bit / 8 % 8 == 0 || bit / 8 + kTableFooterBytes >= content_.size();
    if ((!chosen || bit % 8 != bit / 8 % 8) && !IsWhole(flipped)) continue;
    test::PutFile(table_, flipped);
    auto kv = Kv::Open(path_, KvOptions{});
    const Status status = kv.ok() ? (*kv)->CheckTables() : kv.status();
    EXPECT_TRUE(status.IsCorruption()) << "bit " << bit << ": " << status.ToString();
  }
}

}  // namespace
}  // namespace dkfs
