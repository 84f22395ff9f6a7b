// Blocks: what a pass does with the block versions of its sources.
//
// The scan notes every version here; when the table is full, or at the end, it is sorted by file, layout, block and Seq
// and the versions of each block are decided together, newest first:
//
//   needed, chain whole                            -> carried over as it is
//   needed, a delta whose base is not needed       -> folded: a baseline under the same key and Seq
//   needed, a unit whose base has left the window  -> folded
//   not needed, and no kept delta rests on it      -> left out (publishing removes its row)
//   not needed, a delta elsewhere rests on it      -> that delta is folded into this pack, this version left out
//
// What cannot be read stays where it is, with everything below it, and its segment is not deleted (Sources::damaged).
// Memory: the table (kMaxTable entries), a block, a unit. Not thread-safe.
#pragma once

#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "store/retain/context.h"
#include "store/retain/pack_writer.h"
#include "store/retain/rule.h"
#include "store/retain/sources.h"
#include "store/retain/units.h"

namespace dkfs::retain {

class Blocks {
 public:
  struct Counts {
    uint64_t carried = 0, folded = 0, dropped = 0;
  };
  Blocks(const Context& context, Rule* rule, const Pins* pins, Sources* sources, PackWriter* writer);

  Status Note(const keys::BlockKey& key, uint8_t shift);  // works through the table when it is full
  Status Flush();
  const Counts& counts() const { return counts_; }
  const std::set<Pins::Moment>& moments() const { return units_.moments(); }

 private:
  struct Noted {
    FileId file;
    uint64_t block = 0;
    Seq seq;
    uint32_t layout = 0;
    uint8_t shift = 0;
    friend bool operator==(const Noted&, const Noted&) = default;
  };
  struct Found {
    keys::BlockKey key;
    BlockEntry entry;
    bool found = false;
  };
  static bool Before(const Noted& a, const Noted& b);
  // As the file's newest state asks for; the default for a file that is gone.
  Status PackAs(FileId file);
  Status Block(std::span<const Noted> versions);
  Status One(const keys::BlockKey& key, uint8_t shift, const BlockEntry& entry, std::span<const Noted> versions);
  Result<Found> Row(const keys::BlockKey& key);
  Result<Found> NextNewer(const keys::BlockKey& key);
  Result<bool> RestsOn(const keys::BlockKey& key, uint8_t shift, std::span<const Noted> versions);
  Status CarryDelta(const Baseline& version);
  Status CarryUnit(const Baseline& version);
  Status Copy(const Baseline& version);
  Result<bool> Fold(const keys::BlockKey& key, uint8_t shift);  // false: damaged
  void Damaged(const Location& where, const Status& why);

  const Context& context_;
  Rule* const rule_;
  Sources* const sources_;
  PackWriter* const writer_;
  Units units_;
  Counts counts_;
  std::vector<Noted> table_;
  std::optional<KvCursor> cursor_;  // over block rows as they were when this run began
  Seq carried_delta_;               // of the block under way: the newest handled version, if it still rests on its base
  std::map<std::pair<uint64_t, uint64_t>, Reference> units_carried_;  // old place (segment; frame, offset) -> new place
  std::string payload_;
  std::vector<std::byte> block_;
};

}  // namespace dkfs::retain
