// The structs that the kernel programs and the daemon share have the same layout on both sides: the types in the BPF
// object against the compiler's.
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <gtest/gtest.h>
#include <hotness.skel.h>

#include <map>
#include <memory>

#include "bpf/hotness.h"

namespace dkfs {
namespace {

using Offsets = std::map<std::string, size_t>;

class AbiTest : public testing::Test {
 protected:
  void SetUp() override {
    skeleton_.reset(hotness_bpf__open());
    ASSERT_NE(nullptr, skeleton_);
    types_ = bpf_object__btf(skeleton_->obj);
    ASSERT_NE(nullptr, types_);
  }
  Offsets OffsetsOf(const char* name, size_t size) {
    Offsets out;
    int id = btf__find_by_name_kind(types_, name, BTF_KIND_STRUCT);
    EXPECT_GT(id, 0) << name;
    if (id <= 0) return out;
    const btf_type* type = btf__type_by_id(types_, static_cast<uint32_t>(id));
    EXPECT_EQ(size, type->size) << name;
    const btf_member* member = btf_members(type);
    for (int i = 0; i < btf_vlen(type); ++i) {
      out[btf__name_by_offset(types_, member[i].name_off)] = btf_member_bit_offset(type, static_cast<uint32_t>(i)) / 8;
    }
    return out;
  }
  struct Deleter {
    void operator()(hotness_bpf* s) const { hotness_bpf__destroy(s); }
  };
  std::unique_ptr<hotness_bpf, Deleter> skeleton_;
  const btf* types_ = nullptr;
};

#define MEMBER(type, member) \
  { #member, offsetof(type, member) }

TEST_F(AbiTest, FileCountsLieTheSameOnBothSides) {
  const Offsets ours = {MEMBER(hotness_file, born),         MEMBER(hotness_file, writes),
                        MEMBER(hotness_file, bytes),        MEMBER(hotness_file, sequential),
                        MEMBER(hotness_file, back),         MEMBER(hotness_file, fsyncs),
                        MEMBER(hotness_file, mapped_pages), MEMBER(hotness_file, handed_over_bytes),
                        MEMBER(hotness_file, sizes),        MEMBER(hotness_file, next_offset),
                        MEMBER(hotness_file, cgroup)};
  EXPECT_EQ(ours, OffsetsOf("hotness_file", sizeof(hotness_file)));
}

TEST_F(AbiTest, ExtentCountsLieTheSameOnBothSides) {
  const Offsets key = {MEMBER(hotness_extent_key, file), MEMBER(hotness_extent_key, extent)};
  EXPECT_EQ(key, OffsetsOf("hotness_extent_key", sizeof(hotness_extent_key)));
  const Offsets ours = {MEMBER(hotness_extent, born),      MEMBER(hotness_extent, writes),
                        MEMBER(hotness_extent, bytes),     MEMBER(hotness_extent, pages),
                        MEMBER(hotness_extent, rewritten), MEMBER(hotness_extent, mapped_pages),
                        MEMBER(hotness_extent, touched),   MEMBER(hotness_extent, again)};
  EXPECT_EQ(ours, OffsetsOf("hotness_extent", sizeof(hotness_extent)));
}

TEST_F(AbiTest, TotalsLieTheSameOnBothSides) {
  const Offsets ours = {MEMBER(hotness_totals, events),       MEMBER(hotness_totals, writes),
                        MEMBER(hotness_totals, bytes),        MEMBER(hotness_totals, files_made),
                        MEMBER(hotness_totals, extents_made), MEMBER(hotness_totals, drops),
                        MEMBER(hotness_totals, unspread),     MEMBER(hotness_totals, skipped)};
  EXPECT_EQ(ours, OffsetsOf("hotness_totals", sizeof(hotness_totals)));
}

TEST_F(AbiTest, MapsHoldTheSharedStructsAndAreBounded) {
  EXPECT_EQ(sizeof(hotness_file), bpf_map__value_size(skeleton_->maps.files));
  EXPECT_EQ(sizeof(hotness_extent), bpf_map__value_size(skeleton_->maps.extents));
  EXPECT_EQ(sizeof(hotness_extent_key), bpf_map__key_size(skeleton_->maps.extents));
  EXPECT_EQ(sizeof(hotness_totals), bpf_map__value_size(skeleton_->maps.totals));
  for (const bpf_map* map : {skeleton_->maps.files, skeleton_->maps.extents}) {
    EXPECT_EQ(BPF_MAP_TYPE_LRU_HASH, bpf_map__type(map)) << bpf_map__name(map);
    EXPECT_LE(bpf_map__max_entries(map), 16384u) << bpf_map__name(map);
  }
}

TEST(HotnessPagesTest, BitsAreThePagesOfTheWrite) {
  constexpr uint64_t kExtent = 1 << HOTNESS_EXTENT_SHIFT;
  EXPECT_EQ(1ull, hotness_pages_of(0, 0, 1));
  EXPECT_EQ(1ull, hotness_pages_of(0, 0, 4096));
  EXPECT_EQ(3ull, hotness_pages_of(0, 4095, 4097));
  EXPECT_EQ(~0ull, hotness_pages_of(0, 0, kExtent));
  EXPECT_EQ(~0ull, hotness_pages_of(1, 0, 3 * kExtent));
  EXPECT_EQ(1ull << 63, hotness_pages_of(0, kExtent - 1, kExtent + 1));
  EXPECT_EQ(1ull, hotness_pages_of(1, kExtent - 1, kExtent + 1));
  EXPECT_EQ(6ull, hotness_pages_of(2, 2 * kExtent + 4096, 2 * kExtent + 12288));
}

TEST(HotnessPagesTest, BitsAreCounted) {
  EXPECT_EQ(0u, hotness_bits(0));
  EXPECT_EQ(64u, hotness_bits(~0ull));
  EXPECT_EQ(2u, hotness_bits(1ull << 63 | 1));
}

TEST(HotnessPagesTest, SizeClassesHaveInclusiveUpperBounds) {
  EXPECT_EQ(0u, hotness_size_class(512));
  EXPECT_EQ(1u, hotness_size_class(513));
  EXPECT_EQ(2u, hotness_size_class(8192));
  EXPECT_EQ(6u, hotness_size_class(1 << 20));
  EXPECT_EQ(7u, hotness_size_class((1 << 20) + 1));
}

}  // namespace
}  // namespace dkfs
