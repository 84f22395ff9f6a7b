// Questions about content: block versions, ranges, inodes.
#include "store/index/index.h"
#include "store/index/rows.h"
#include "store/index/versions.h"

namespace dkfs {
namespace {

std::string BlockThing(FileId file, LayoutId layout, uint64_t block) {
  std::string key = keys::Block(file, layout, block, Seq{});
  key.resize(key.size() - kSeqBytes);
  return key;
}

constexpr size_t kFewRanges = 64;  // are walked; of a file with more a map is made

Status ReadRange(std::string_view key, std::string_view value, RangeItem* range, Seq* seq) {
  keys::RangeKey range_key;
  DKFS_TRY(keys::Parse(AsBytes(key), &range_key));
  *seq = range_key.seq;
  return values::Decode(AsBytes(value), range);
}

bool Covers(const RangeItem& range, LayoutId layout, uint64_t block) {
  return range.layout == layout && range.first <= block && (block < range.end || range.end == kEndOfFile);
}

}  // namespace

Result<InodeState> Index::Inode(FileId file, Seq at) {
  if (pending_.MayHoldInode(file)) DKFS_TRY(Fresh());
  Seq seq;
  std::string value;
  DKFS_TRY(NewestVersion(*kv_, Family::kInode, keys::OfFile(file), at, &seq, &value));
  InodeState state;
  DKFS_TRY(DecodeInodeState(AsBytes(value), &state));
  if (IsGone(state)) return Status::Error(ENOENT);
  if (state.replaced && !state.replaced_at) state.replaced_at = seq;  // its own record could not know its Seq
  return state;
}

Status Index::EachInode(Seq at, const std::function<bool(FileId, const InodeState&)>& each) {
  DKFS_TRY(Fresh());
  return EachNewest(*kv_, Family::kInode, {}, {}, at,
                    [&](std::string_view thing, Seq, std::string_view value) -> Result<bool> {
                      InodeState state;
                      DKFS_TRY(DecodeInodeState(AsBytes(value), &state));
                      if (thing.size() != sizeof(uint64_t)) return Status::Corruption("index: inode key");
                      return IsGone(state) || each(FileId{LoadBe<uint64_t>(thing.data())}, state);
                    });
}

Status Index::NewestBlock(FileId file, LayoutId layout, uint64_t block, Seq at, Seq* seq, BlockEntry* entry) {
  DKFS_TRY(Fresh());
  std::string value;
  DKFS_TRY(NewestVersion(*kv_, Family::kBlock, BlockThing(file, layout, block), at, seq, &value));
  return values::Decode(AsBytes(value), entry);
}

Status Index::BlockChain(FileId file, LayoutId layout, uint64_t block, Seq at,
                         const std::function<bool(Seq, const BlockEntry&)>& each) {
  DKFS_TRY(Fresh());
  KvCursor cursor = kv_->NewVersionsCursor(Family::kBlock);
  for (cursor.Seek(keys::Block(file, layout, block, at)); cursor.Valid(); cursor.Next()) {
    BlockEntry entry;
    DKFS_TRY(values::Decode(AsBytes(cursor.value()), &entry));
    if (!each(SeqOf(cursor.key()), entry)) return Status::Ok();
  }
  return cursor.status();
}

Status Index::Blocks(FileId file, LayoutId layout, uint64_t first, uint64_t end, Seq at,
                     const std::function<bool(uint64_t, Seq, const BlockEntry&)>& each) {
  return BlockVersions(file, layout, first, end, at, [&](uint64_t block, Seq seq, const BlockEntry& entry) {
    return each(block, seq, entry) ? Walk::kNextThing : Walk::kStop;
  });
}

Status Index::BlockVersions(FileId file, LayoutId layout, uint64_t first, uint64_t end, Seq at,
                            const std::function<Walk(uint64_t, Seq, const BlockEntry&)>& each) {
  DKFS_TRY(Fresh());
  const std::string stop =
      end == kEndOfFile ? PrefixEnd(keys::BlockPrefix(file, layout)) : BlockThing(file, layout, end);
  return EachVersionOf(*kv_, Family::kBlock, BlockThing(file, layout, first), stop, at,
                       [&](std::string_view thing, Seq seq, std::string_view value) -> Result<Walk> {
                         BlockEntry entry;
                         DKFS_TRY(values::Decode(AsBytes(value), &entry));
                         if (thing.size() < sizeof(uint64_t)) return Status::Corruption("index: block key");
                         return each(LoadBe<uint64_t>(thing.end() - sizeof(uint64_t)), seq, entry);
                       });
}

Result<Seq> Index::CoveringRange(FileId file, LayoutId layout, uint64_t block, Seq after, Seq at) {
  DKFS_TRY(Fresh());
  const BlockTarget target{file, layout, block, after};
  std::shared_ptr<const RangeMap> map = range_maps_.Find(file, layout, at);
  if (map == nullptr) {
    DKFS_TRY_ASSIGN(const std::optional<Seq> found, WalkRanges(target, at, kFewRanges));
    if (found) return *found;
    DKFS_TRY_ASSIGN(map, Ranges(file, layout, at));
  }
  if (const std::optional<Seq> newest = map->NewestAfter(block, after)) return *newest;
  DKFS_TRY_ASSIGN(const std::optional<Seq> found, WalkRanges(target, map->rest(), SIZE_MAX));
  return found.value_or(Seq{});
}

Result<std::optional<Seq>> Index::WalkRanges(const BlockTarget& target, Seq at, size_t most) {
  const std::string prefix = keys::OfFile(target.file);
  std::string key, value;
  RangeItem range;
  Seq seq;
  Status first =
      kv_->SeekPrefix(Family::kRange, keys::Range(target.file, at, 0), prefix, &key, &value);  // mostly there is none
  if (first.IsNotFound()) return std::optional(Seq{});
  DKFS_TRY(std::move(first));
  DKFS_TRY(ReadRange(key, value, &range, &seq));
  if (seq <= target.after) return std::optional(Seq{});
  if (Covers(range, target.layout, target.block)) return std::optional(seq);
  KvCursor cursor = kv_->NewCursor(Family::kRange, PrefixEnd(prefix));
  for (cursor.Seek(key + '\0'); cursor.Valid(); cursor.Next()) {
    if (--most == 0) return std::optional<Seq>();
    DKFS_TRY(ReadRange(cursor.key(), cursor.value(), &range, &seq));
    if (seq <= target.after) return std::optional(Seq{});
    if (Covers(range, target.layout, target.block)) return std::optional(seq);
  }
  DKFS_TRY(cursor.status());
  return std::optional(Seq{});
}

Result<std::shared_ptr<const RangeMap>> Index::Ranges(FileId file, LayoutId layout, Seq at) {
  DKFS_TRY(Fresh());
  if (auto known = range_maps_.Find(file, layout, at)) return known;
  const uint64_t begun = range_maps_.Begin(file, layout, at);
  std::vector<RangeMap::Row> rows;
  Seq rest;
  KvCursor cursor = kv_->NewCursor(Family::kRange, PrefixEnd(keys::OfFile(file)));
  for (cursor.Seek(keys::Range(file, at, 0)); cursor.Valid(); cursor.Next()) {
    RangeItem range;
    Seq seq;
    DKFS_TRY(ReadRange(cursor.key(), cursor.value(), &range, &seq));
    if (range.layout != layout) continue;
    if (rows.size() == kMostRanges) {
      rest = seq;
      break;
    }
    rows.push_back({seq, range.first, range.end});
  }
  DKFS_TRY(cursor.status());
  auto map = std::make_shared<const RangeMap>(rows, rest);
  range_maps_.Keep(begun, map);
  return std::shared_ptr<const RangeMap>(std::move(map));
}

}  // namespace dkfs
