#include "store/format/item.h"

#include <gtest/gtest.h>

#include <cstring>

#include "tests/support/samples.h"

namespace dkfs {
namespace {

std::string Encoded(const Item& item) {
  std::string out;
  EncodeItem(item, &out);
  return out;
}

std::string Encoded(const std::vector<Item>& items) {
  std::string out;
  for (const Item& item : items) EncodeItem(item, &out);
  return out;
}

Item BlocksOf(BlockKind kind, const std::string& payload) {
  Item item;
  item.body =
      BlocksItem{FileId{5}, LayoutId{1}, 13, 7, {{kind, 0, static_cast<uint32_t>(payload.size()), 0x1234, Seq{}}}};
  item.payload = AsBytes(payload);
  return item;
}

Item Named(const std::string& name) { return {Seq{}, NameItem{kRootFile, kFirstEntry, name, FileId{2}, 8}, 0, {}}; }

int CodeOf(const std::string& body) {
  std::vector<Item> out;
  return DecodeItems(AsBytes(body), &out).code();
}

template <class T>
std::string With(std::string body, size_t at, T value) {
  std::memcpy(body.data() + at, &value, sizeof value);
  return body;
}

TEST(ItemTest, BodiesRoundTrip) {
  const uint64_t seed = test::TestSeed();
  test::Random random(seed);
  for (int i = 0; i < 3000; ++i) {
    const std::string body = test::AnyBody(&random);
    std::vector<Item> items;
    const Status status = DecodeItems(AsBytes(body), &items);
    ASSERT_TRUE(status.ok()) << status.ToString() << " seed " << seed;
    ASSERT_EQ(body.size() % 8, 0u);
    ASSERT_EQ(Encoded(items), body) << "seed " << seed;
  }
}

TEST(ItemTest, AnEmptyBodyHasNoItems) {
  std::vector<Item> out(3);
  EXPECT_TRUE(DecodeItems({}, &out).ok());
  EXPECT_TRUE(out.empty());
}

TEST(ItemTest, PayloadIsBorrowedFromItsPlaceInTheBody) {
  const std::string payload = "changed bytes";
  const std::string body = Encoded(Named("x")) + Encoded(BlocksOf(BlockKind::kDelta, payload));
  std::vector<Item> items;
  ASSERT_TRUE(DecodeItems(AsBytes(body), &items).ok());
  ASSERT_EQ(items.size(), 2u);
  EXPECT_EQ(items[0].payload_offset, 0u);
  EXPECT_TRUE(items[0].payload.empty());
  EXPECT_EQ(AsString(items[1].payload), payload);
  EXPECT_EQ(body.substr(items[1].payload_offset, payload.size()), payload);
}

TEST(ItemTest, BlocksHeaderPayloadAndPaddingMakeTheItem) {
  for (size_t n = 0; n < 20; ++n) {
    const std::string payload(n, 'p');
    const Item item = BlocksOf(BlockKind::kBaseline, payload);
    std::string pieces = "front";
    EncodeBlocksHeader(Seq{}, std::get<BlocksItem>(item.body), static_cast<uint32_t>(n), &pieces);
    pieces += payload + std::string(ItemPadding(n), '\0');
    EXPECT_EQ(pieces, "front" + Encoded(item));
  }
}

TEST(ItemTest, EncodingHeadersDoesNotAllocateBeyondTheString) {
  std::string out;
  out.reserve(4096);
  const char* before = out.data();
  BlocksItem blocks;
  blocks.versions.resize(8);
  EncodeBlocksHeader(Seq{1}, blocks, 100, &out);
  EncodeInodeState(InodeState{}, &out);
  EXPECT_EQ(out.data(), before);
}

TEST(ItemTest, CutAnywhereIsDamageOrAShorterBody) {
  const uint64_t seed = test::TestSeed();
  test::Random random(seed);
  for (int i = 0; i < 50; ++i) {
    std::string payload;
    const std::string one = Encoded(test::AnyItem(&random, &payload));
    for (size_t n = 1; n < one.size(); ++n) ASSERT_EQ(CodeOf(one.substr(0, n)), EUCLEAN) << n << " seed " << seed;
  }
}

TEST(ItemTest, UnknownTypeIsRefusedUnlessItMayBeSkipped) {
  std::string unknown = With<uint16_t>(Encoded(Named("x")), 0, 99);
  EXPECT_EQ(CodeOf(unknown), ENOTSUP);
  unknown = With<uint16_t>(unknown, 2, kItemMaySkip);
  std::vector<Item> items;
  const std::string body = unknown + Encoded(Named("kept"));
  ASSERT_TRUE(DecodeItems(AsBytes(body), &items).ok());
  ASSERT_EQ(items.size(), 1u);
  EXPECT_EQ(std::get<NameItem>(items[0].body).name, "kept");
}

TEST(ItemTest, UnknownLowFlagsRefuseAndUnknownHighFlagsDoNot) {
  EXPECT_EQ(CodeOf(With<uint16_t>(Encoded(Named("x")), 2, 0x0002)), ENOTSUP);
  EXPECT_EQ(CodeOf(With<uint16_t>(Encoded(Named("x")), 2, 0x0100)), 0);
  EXPECT_EQ(CodeOf(With<uint16_t>(Encoded(Named("x")), 2, kItemMaySkip)), 0) << "a known item is never skipped";
}

TEST(ItemTest, NamesThatNoDirectoryMayHoldAreDamage) {
  EXPECT_EQ(CodeOf(Encoded(Named("a"))), 0);
  EXPECT_EQ(CodeOf(Encoded(Named(std::string(255, 'n')))), 0);
  EXPECT_EQ(CodeOf(Encoded(Named("..."))), 0);
  for (const std::string& bad : {std::string(), std::string("."), std::string(".."), std::string("a/b"),
                                 std::string("a\0b", 3), std::string("/")}) {
    EXPECT_FALSE(IsValidName(bad)) << bad;
    EXPECT_EQ(CodeOf(Encoded(Named(bad))), EUCLEAN) << bad;
  }
  EXPECT_FALSE(IsValidName(std::string(256, 'n')));
}

TEST(ItemTest, BlockVersionsOutOfRangeAreDamage) {
  const std::string good = Encoded(BlocksOf(BlockKind::kDelta, "12345678"));
  ASSERT_EQ(CodeOf(good), 0);
  EXPECT_EQ(CodeOf(With<uint64_t>(good, 16, 0)), EUCLEAN) << "no file";
  EXPECT_EQ(CodeOf(With<uint64_t>(good, 16, kMaxFileId + 1)), EUCLEAN) << "file beyond 48 bits";
  EXPECT_EQ(CodeOf(With<uint32_t>(good, 24, 0)), EUCLEAN) << "layout 0";
  EXPECT_EQ(CodeOf(With<uint8_t>(good, 28, 21)), EUCLEAN) << "block shift";
  EXPECT_EQ(CodeOf(With<uint64_t>(good, 32, uint64_t{1} << 52)), EUCLEAN) << "block beyond any file";
  EXPECT_EQ(CodeOf(With<uint32_t>(good, 40, 0)), EUCLEAN) << "no versions";
  EXPECT_EQ(CodeOf(With<uint32_t>(good, 40, 0xffffffff)), EUCLEAN) << "count beyond the item";
  EXPECT_EQ(CodeOf(With<uint32_t>(good, 44, 16)), EUCLEAN) << "payload beyond the item";
  EXPECT_EQ(CodeOf(With<uint8_t>(good, 48, 0)), EUCLEAN) << "unknown kind";
  EXPECT_EQ(CodeOf(With<uint8_t>(good, 48, 6)), EUCLEAN) << "unknown kind";
  EXPECT_EQ(CodeOf(With<uint8_t>(good, 48, 1)), EUCLEAN) << "a hole with payload";
  EXPECT_EQ(CodeOf(With<uint32_t>(good, 52, 7)), EUCLEAN) << "payload that is not its versions'";
  EXPECT_EQ(CodeOf(Encoded(BlocksOf(BlockKind::kBaseline, std::string(8193, 'x')))), EUCLEAN)
      << "longer than its block";
}

TEST(ItemTest, PaddingIsZero) {
  std::string body = Encoded(Named("abc"));
  body.back() = 1;
  EXPECT_EQ(CodeOf(body), EUCLEAN);
}

TEST(ItemTest, ReferencesRoundTripAndPointOnlyAtWhatCanBeShared) {
  std::string text;
  EncodeReference({4096, 77, 8192, BlockKind::kUnit}, &text);
  ASSERT_EQ(text.size(), kReferenceBytes);
  Reference back;
  ASSERT_TRUE(DecodeReference(AsBytes(text), &back).ok());
  EXPECT_EQ(back.frame, 4096u);
  EXPECT_EQ(back.offset, 77u);
  EXPECT_EQ(back.stored_bytes, 8192u);
  EXPECT_EQ(back.kind, BlockKind::kUnit);
  for (int kind = 0; kind < 256; ++kind) {
    const bool shared = kind == static_cast<int>(BlockKind::kBaseline) || kind == static_cast<int>(BlockKind::kUnit);
    EXPECT_EQ(DecodeReference(AsBytes(With(text, 12, static_cast<uint8_t>(kind))), &back).ok(), shared) << kind;
  }
  EXPECT_FALSE(DecodeReference(AsBytes(With(text, 13, uint8_t{1})), &back).ok()) << "the kind is all of its four bytes";
  EXPECT_TRUE(DecodeReference(AsBytes(text.substr(1)), &back).IsCorruption());
}

TEST(ItemTest, DamagedAndRandomBodiesNeverDecodeToWhatCannotBeEncoded) {
  const uint64_t seed = test::TestSeed();
  test::Random random(seed);
  for (int i = 0; i < 20000; ++i) {
    const std::string body =
        random.OneIn(10) ? random.Text(random.Below(200)) : test::Mutate(&random, test::AnyBody(&random));
    std::vector<Item> items;
    const Status status = DecodeItems(AsBytes(body), &items);
    ASSERT_TRUE(status.ok() || status.IsCorruption() || status.code() == ENOTSUP)
        << status.ToString() << " seed " << seed;
    if (!status.ok()) continue;
    std::vector<Item> again;
    const std::string encoded = Encoded(items);
    ASSERT_TRUE(DecodeItems(AsBytes(encoded), &again).ok()) << "seed " << seed;
    ASSERT_EQ(again.size(), items.size()) << "seed " << seed;
  }
}

}  // namespace
}  // namespace dkfs
