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

struct Target {
  FileId file;
  LayoutId layout;
  uint64_t block;
  Seq after;
};

// Asks one range row: Ok(true) when the search ends, with its answer in *found.
Result<bool> Covers(std::string_view key, std::string_view value, const Target& target, Seq* found) {
  keys::RangeKey range_key;
  DKFS_TRY(keys::Parse(AsBytes(key), &range_key));
  if (range_key.seq <= target.after) return true;
  RangeItem range;
  DKFS_TRY(values::Decode(AsBytes(value), &range));
  const bool covers = range.layout == target.layout && range.first <= target.block &&
                      (target.block < range.end || range.end == kEndOfFile);
  if (covers) *found = range_key.seq;
  return covers;
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
  const Target target{file, layout, block, after};
  const std::string prefix = keys::OfFile(file);
  std::string key, value;
  Seq found;
  Status first =
      kv_->SeekPrefix(Family::kRange, keys::Range(file, at, 0), prefix, &key, &value);  // mostly there is none
  if (first.IsNotFound()) return Seq{};
  if (!first.ok()) return first;
  DKFS_TRY_ASSIGN(bool done, Covers(key, value, target, &found));
  if (done) return found;
  KvCursor cursor = kv_->NewCursor(Family::kRange, PrefixEnd(prefix));
  for (cursor.Seek(key + '\0'); cursor.Valid(); cursor.Next()) {
    DKFS_TRY_ASSIGN(done, Covers(cursor.key(), cursor.value(), target, &found));
    if (done) return found;
  }
  DKFS_TRY(cursor.status());
  return Seq{};
}

}  // namespace dkfs
