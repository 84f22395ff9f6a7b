// Items: what one record says. A record is an atomic set of items under one Seq; applying a record to the index is
// applying its items, whatever operation made them. The store therefore knows nothing of POSIX: fs/ops composes items.
//
// An item may carry its own Seq (`as_of`), different from the record's: folded, packed and late-captured (adopted)
// versions keep the Seq at which they became true. docs/format.md has the byte tables.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "store/base/bytes.h"
#include "store/base/status.h"
#include "store/format/ids.h"
#include "store/format/inode_state.h"

namespace dkfs {

enum class ItemType : uint16_t {
  kInode = 1,
  kName = 2,
  kXattr = 3,
  kRange = 4,
  kBlocks = 5,
  kVoid = 6,
  kMoments = 7,
};
// A decoder meeting an unknown type skips the item when this bit is set in the item's flags and refuses otherwise.
inline constexpr uint16_t kItemMaySkip = 1;

// How a block version's payload makes the block.
enum class BlockKind : uint8_t {
  kHole = 1,       // all zeros; no payload
  kBaseline = 2,   // payload is the block, zero padded to the block size
  kDelta = 3,      // payload is changed ranges (codec/ranges) against the version at base_seq (0: against zeros)
  kUnit = 4,       // librsync: payload patches a region of another file as of a Seq (codec/unit); packs only
  kReference = 5,  // packs only, never in the index: payload (Reference, keys.h) is the place of identical content in
                   // the same pack; indexed as that place
};

struct BlockVersion {
  BlockKind kind = BlockKind::kHole;
  uint8_t chain_length = 0;   // kDelta: deltas down to the baseline, this one included; kUnit: its depth; else 0
  uint32_t stored_bytes = 0;  // payload length
  uint64_t checksum = 0;      // HashZeroPadded of the whole resulting block; for a hole too
  Seq base_seq;               // kDelta only
  friend bool operator==(const BlockVersion&, const BlockVersion&) = default;
};

struct InodeItem {
  FileId file;
  InodeState state;  // nlink 0 and mode 0: the inode is gone (tombstone)
};
struct NameItem {  // a directory entry that came, or with child 0 one that ended
  FileId parent;
  EntryId entry;
  std::string name;  // 1..255 bytes, no '/' and no NUL, not "." or ".."
  FileId child;      // 0: tombstone
  uint8_t type = 0;  // DT_*
};
struct XattrItem {
  FileId file;
  std::string name;
  std::string value;
  bool gone = false;
};
struct RangeItem {  // whole blocks [first, end) of the layout became zeros
  FileId file;
  LayoutId layout;
  uint64_t first = 0;
  uint64_t end = kEndOfFile;
};
// Consecutive blocks. Their payloads stand one after another, in order, in the item's payload.
struct BlocksItem {
  FileId file;
  LayoutId layout;
  uint8_t block_shift = kDefaultBlockShift;
  uint64_t first = 0;
  std::vector<BlockVersion> versions;  // 1 or more
};
struct VoidItem {  // the record at `seq` did not happen: its backing write failed
  Seq seq;
};
struct MomentsItem {  // packs only: the times of the records [first, first + times.size()) whose segments it replaces
  Seq first;
  std::vector<TimeSpec> times;
};

// One decoded item. `payload_offset` and `payload` are set for kBlocks only: where its payload starts, counted from the
// start of the record body, and the bytes themselves (borrowed from the decoded buffer).
struct Item {
  Seq as_of;  // 0: the record's own Seq
  std::variant<InodeItem, NameItem, XattrItem, RangeItem, BlocksItem, VoidItem, MomentsItem> body;
  uint32_t payload_offset = 0;
  Bytes payload;
};

// Appends the encoded item to *out, padded to 8 bytes. For BlocksItem use EncodeBlocksHeader, and put the payload
// behind.
void EncodeItem(const Item& item, std::string* out);
// Encodes everything of a BlocksItem but its payload of `payload_bytes`, which must follow at once, then
// ItemPadding(payload_bytes) zero bytes. `payload_bytes` is the sum of the versions' stored_bytes.
void EncodeBlocksHeader(Seq as_of, const BlocksItem& item, uint32_t payload_bytes, std::string* out);
constexpr uint32_t ItemPadding(uint64_t bytes) { return static_cast<uint32_t>((8 - bytes % 8) % 8); }

// Decodes a record body into items. Any bytes are accepted; what is not well formed is Corruption, an unknown item that
// may not be skipped is ENOTSUP. Names are checked (see NameItem), block shifts, counts and payload sizes too.
Status DecodeItems(Bytes body, std::vector<Item>* out);

// InodeState alone, as it stands in an InodeItem and in the index. Decoding is Corruption for what is not well formed,
// ENOTSUP for optional fields of a newer version.
void EncodeInodeState(const InodeState& state, std::string* out);
Status DecodeInodeState(Bytes data, InodeState* out);

// True for a name that may stand in a directory (see NameItem).
bool IsValidName(std::string_view name);

}  // namespace dkfs
