#include <gtest/gtest.h>

#include <algorithm>
#include <tuple>

#include "tests/support/samples.h"

namespace dkfs {
namespace {

using test::AnyFile;
using test::Random;

uint64_t Few(Random* random) { return random->OneIn(4) ? random->Magnitude() : random->Below(4) + 1; }
LayoutId FewLayout(Random* random) { return LayoutId{random->Below(3) + 1}; }

// Keys must order as their fields do, with newer Seqs first. `model` is the tuple a plain sort would use.
template <class Model, class Make>
void ExpectOrder(const char* what, Make make) {
  const uint64_t seed = test::TestSeed();
  Random random(seed);
  std::vector<std::pair<std::string, Model>> all;
  for (int i = 0; i < 300; ++i) all.push_back(make(&random));
  for (const auto& [key_a, model_a] : all) {
    for (const auto& [key_b, model_b] : all) ASSERT_EQ(key_a < key_b, model_a < model_b) << what << " seed " << seed;
  }
}

TEST(KeysTest, BlocksOrderByFileLayoutBlockThenNewestFirst) {
  using Model = std::tuple<uint64_t, uint64_t, uint64_t, uint64_t>;
  ExpectOrder<Model>("block", [](Random* r) {
    const Model m{Few(r), r->Below(3) + 1, Few(r), ~Few(r)};
    return std::pair{keys::Block(FileId{get<0>(m)}, LayoutId{get<1>(m)}, get<2>(m), Seq{~get<3>(m)}), m};
  });
}

TEST(KeysTest, RangesAndInodesOrderNewestFirst) {
  using Model = std::tuple<uint64_t, uint64_t, uint32_t>;
  ExpectOrder<Model>("range", [](Random* r) {
    const Model m{Few(r), ~Few(r), static_cast<uint32_t>(r->Below(5))};
    return std::pair{keys::Range(FileId{get<0>(m)}, Seq{~get<1>(m)}, get<2>(m)), m};
  });
  using InodeModel = std::pair<uint64_t, uint64_t>;
  ExpectOrder<InodeModel>("inode", [](Random* r) {
    const InodeModel m{Few(r), ~Few(r)};
    return std::pair{keys::Inode(FileId{m.first}, Seq{~m.second}), m};
  });
}

TEST(KeysTest, NamesOrderByParentNameThenNewestFirst) {
  using Model = std::tuple<uint64_t, std::string, uint64_t>;
  for (auto* make : {&keys::Name, &keys::Xattr}) {
    ExpectOrder<Model>("name", [make](Random* r) {
      std::string name = r->Name(3);
      if (r->OneIn(2)) name += static_cast<char>(r->Below(255) + 1);
      const Model m{Few(r), name, ~Few(r)};
      return std::pair{make(FileId{get<0>(m)}, get<1>(m), Seq{~get<2>(m)}), m};
    });
  }
}

TEST(KeysTest, EntriesAndLinksOrderByCookieThenNewestFirst) {
  using Model = std::tuple<uint64_t, uint64_t, uint64_t, uint64_t>;
  ExpectOrder<Model>("link", [](Random* r) {
    const Model m{Few(r), Few(r), Few(r), ~Few(r)};
    return std::pair{keys::Link(FileId{get<0>(m)}, FileId{get<1>(m)}, EntryId{get<2>(m)}, Seq{~get<3>(m)}), m};
  });
  using EntryModel = std::tuple<uint64_t, uint64_t, uint64_t>;
  ExpectOrder<EntryModel>("entry", [](Random* r) {
    const EntryModel m{Few(r), Few(r), ~Few(r)};
    return std::pair{keys::Entry(FileId{get<0>(m)}, EntryId{get<1>(m)}, Seq{~get<2>(m)}), m};
  });
}

TEST(KeysTest, MomentsAndSegmentsOrderAscending) {
  EXPECT_LT(keys::Moment(Seq{255}), keys::Moment(Seq{256}));
  EXPECT_LT(keys::Segment(SegmentId{1}), keys::Segment(SegmentId{UINT64_MAX}));
}

TEST(KeysTest, SeekAtAMomentLandsOnTheVersionInForce) {
  std::vector<std::string> rows;
  for (const uint64_t seq : {3, 7, 9}) rows.push_back(keys::Inode(FileId{5}, Seq{seq}));
  rows.push_back(keys::Inode(FileId{6}, Seq{1}));
  std::sort(rows.begin(), rows.end());
  const auto in_force = [&](uint64_t at) {
    keys::InodeKey key;
    EXPECT_TRUE(
        keys::Parse(AsBytes(*std::lower_bound(rows.begin(), rows.end(), keys::Inode(FileId{5}, Seq{at}))), &key).ok());
    return std::pair(key.file.value, key.seq.value);
  };
  EXPECT_EQ(in_force(UINT64_MAX), std::pair(uint64_t{5}, uint64_t{9}));
  EXPECT_EQ(in_force(8), std::pair(uint64_t{5}, uint64_t{7}));
  EXPECT_EQ(in_force(7), std::pair(uint64_t{5}, uint64_t{7}));
  EXPECT_EQ(in_force(2).first, 6u) << "nothing of file 5 was there yet";
}

TEST(KeysTest, PrefixesAreFrontsOfTheirKeys) {
  const FileId file{0x123456};
  EXPECT_TRUE(keys::Block(file, LayoutId{2}, 9, Seq{4}).starts_with(keys::BlockPrefix(file, LayoutId{2})));
  EXPECT_TRUE(keys::BlockPrefix(file, LayoutId{2}).starts_with(keys::BlockPrefix(file)));
  EXPECT_TRUE(keys::Name(file, "ab", Seq{4}).starts_with(keys::NamePrefix(file, "ab")));
  EXPECT_FALSE(keys::Name(file, "abc", Seq{4}).starts_with(keys::NamePrefix(file, "ab")));
  for (const std::string& key :
       {keys::Range(file, Seq{1}, 0), keys::Inode(file, Seq{1}), keys::Name(file, "n", Seq{1}),
        keys::Entry(file, kFirstEntry, Seq{1}), keys::Link(file, kRootFile, kFirstEntry, Seq{1}),
        keys::Xattr(file, "user.x", Seq{1})}) {
    EXPECT_TRUE(key.starts_with(keys::OfFile(file)));
  }
}

TEST(KeysTest, ParseTakesApartWhatWasMade) {
  const uint64_t seed = test::TestSeed();
  Random random(seed);
  for (int i = 0; i < 1000; ++i) {
    const FileId file = AnyFile(&random), other = AnyFile(&random);
    const LayoutId layout = FewLayout(&random);
    const Seq seq{random.Magnitude()};
    const EntryId entry{random.Magnitude()};
    const uint64_t block = random.Magnitude();
    const std::string name = random.Name(kMaxNameBytes);
    keys::BlockKey b;
    ASSERT_TRUE(keys::Parse(AsBytes(keys::Block(file, layout, block, seq)), &b).ok());
    ASSERT_EQ(std::tuple(b.file, b.layout, b.block, b.seq), std::tuple(file, layout, block, seq)) << "seed " << seed;
    keys::RangeKey r;
    ASSERT_TRUE(keys::Parse(AsBytes(keys::Range(file, seq, 17)), &r).ok());
    ASSERT_EQ(std::tuple(r.file, r.seq, r.n), std::tuple(file, seq, 17u));
    keys::NameKey n;
    ASSERT_TRUE(keys::Parse(AsBytes(keys::Name(file, name, seq)), &n).ok());
    ASSERT_EQ(std::tuple(n.parent, n.name, n.seq), std::tuple(file, name, seq));
    keys::XattrKey x;
    ASSERT_TRUE(keys::Parse(AsBytes(keys::Xattr(file, name, seq)), &x).ok());
    ASSERT_EQ(std::tuple(x.file, x.name, x.seq), std::tuple(file, name, seq));
    keys::EntryKey e;
    ASSERT_TRUE(keys::Parse(AsBytes(keys::Entry(file, entry, seq)), &e).ok());
    ASSERT_EQ(std::tuple(e.parent, e.entry, e.seq), std::tuple(file, entry, seq));
    keys::LinkKey l;
    ASSERT_TRUE(keys::Parse(AsBytes(keys::Link(file, other, entry, seq)), &l).ok());
    ASSERT_EQ(std::tuple(l.child, l.parent, l.entry, l.seq), std::tuple(file, other, entry, seq));
    Seq moment;
    ASSERT_TRUE(keys::ParseMoment(AsBytes(keys::Moment(seq)), &moment).ok());
    ASSERT_EQ(moment, seq);
    SegmentId segment;
    ASSERT_TRUE(keys::ParseSegment(AsBytes(keys::Segment(SegmentId{block})), &segment).ok());
    ASSERT_EQ(segment.value, block);
  }
}

template <class Key>
void ExpectOnlyWhole(const std::string& key) {
  Key out;
  EXPECT_TRUE(keys::Parse(AsBytes(key), &out).ok());
  for (size_t n = 0; n < key.size(); ++n) EXPECT_TRUE(keys::Parse(AsBytes(key.substr(0, n)), &out).IsCorruption()) << n;
  EXPECT_TRUE(keys::Parse(AsBytes(key + "x"), &out).IsCorruption());
}

TEST(KeysTest, KeysOfAnotherLengthAreDamage) {
  ExpectOnlyWhole<keys::BlockKey>(keys::Block(FileId{1}, LayoutId{1}, 2, Seq{3}));
  ExpectOnlyWhole<keys::RangeKey>(keys::Range(FileId{1}, Seq{3}, 0));
  ExpectOnlyWhole<keys::InodeKey>(keys::Inode(FileId{1}, Seq{3}));
  ExpectOnlyWhole<keys::EntryKey>(keys::Entry(FileId{1}, EntryId{20}, Seq{3}));
  ExpectOnlyWhole<keys::LinkKey>(keys::Link(FileId{1}, FileId{2}, EntryId{20}, Seq{3}));
}

TEST(KeysTest, NameKeysWithoutAWholeNameAreDamage) {
  keys::NameKey out;
  const std::string key = keys::Name(FileId{1}, "name", Seq{3});
  EXPECT_TRUE(keys::Parse(AsBytes(key.substr(0, 17)), &out).IsCorruption());
  EXPECT_TRUE(keys::Parse(AsBytes(keys::Name(FileId{1}, "", Seq{3})), &out).IsCorruption());
  std::string no_nul = key;
  no_nul[12] = 'x';
  EXPECT_TRUE(keys::Parse(AsBytes(no_nul), &out).IsCorruption());
  EXPECT_TRUE(keys::Parse(AsBytes(keys::Name(FileId{1}, std::string("a\0b", 3), Seq{3})), &out).IsCorruption());
  EXPECT_TRUE(keys::Parse(AsBytes(keys::Name(FileId{1}, std::string(256, 'n'), Seq{3})), &out).IsCorruption());
}

}  // namespace
}  // namespace dkfs
