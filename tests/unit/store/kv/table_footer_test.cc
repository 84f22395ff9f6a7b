// A table whose footer is damaged is Corruption, whatever RocksDB would make of it.
#include "store/kv/table_footer.h"

#include <filesystem>

#include "tests/unit/store/kv/kv_fixture.h"

namespace dkfs {
namespace {

class TableFooterTest : public KvFixture {
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
  bool IsFooter(const std::string& table) const {
    return IsTableFooter(AsBytes(table).last(kTableFooterBytes), table.size());
  }
  std::string table_, content_;
};

TEST_F(TableFooterTest, WhatRocksDbWritesIsOne) { EXPECT_TRUE(IsFooter(content_)); }

TEST_F(TableFooterTest, NoFlippedBitPasses) {
  // A handle that was flipped may still describe some place in the file; then the checksum of what is there is wrong.
  constexpr size_t kIndexHandle = 1 + 2 * 3;
  size_t passed = 0;
  for (size_t bit = 0; bit < kTableFooterBytes * 8; ++bit) {
    std::string flipped = content_;
    flipped[content_.size() - kTableFooterBytes + bit / 8] ^= static_cast<char>(1 << bit % 8);
    if (!IsFooter(flipped)) continue;
    EXPECT_LT(bit / 8, kIndexHandle + 8) << "bit " << bit;
    ++passed;
  }
  EXPECT_LT(passed, 40u);
}

TEST_F(TableFooterTest, FooterOfAnotherSizeOfFileIsNone) {
  const Bytes footer = AsBytes(content_).last(kTableFooterBytes);
  EXPECT_FALSE(IsTableFooter(footer, content_.size() + 1));
  EXPECT_FALSE(IsTableFooter(footer, content_.size() - 1));
  EXPECT_FALSE(IsTableFooter(footer, kTableFooterBytes));
  EXPECT_FALSE(IsTableFooter(footer, 0));
  EXPECT_FALSE(IsTableFooter(footer.first(52), content_.size()));
}

// In the file, one bit of each byte and all that pass for another footer: opening or reading answers Corruption, and
// nobody dies.
TEST_F(TableFooterTest, EveryFlippedByteIsCorruption) {
  kv_.reset();
  for (size_t bit = 0; bit < kTableFooterBytes * 8; ++bit) {
    std::string flipped = content_;
    flipped[content_.size() - kTableFooterBytes + bit / 8] ^= static_cast<char>(1 << bit % 8);
    if (bit % 8 != bit / 8 % 8 && !IsFooter(flipped)) continue;
    ASSERT_TRUE(file::ReplaceDurably(AT_FDCWD, table_, flipped).ok());
    auto kv = Kv::Open(path_, KvOptions{});
    const Status status = kv.ok() ? (*kv)->CheckTables() : kv.status();
    EXPECT_TRUE(status.IsCorruption()) << "bit " << bit << ": " << status.ToString();
  }
}

}  // namespace
}  // namespace dkfs
