// Units: baselines of a file that took another's name by rename, written as librsync deltas against the file it
// replaced (store/replay/unit.h), when that is much smaller.
//
// A unit rests on the base's versions as of a moment (a pin); those must never come to rest on the unit, nor become
// units afterwards (readers follow kMaxUnitDepth of them). So:
//   U1  the base moment lies in the window when the unit is made, and a pin keeps it readable as long as the unit
//   lives; U2  a version in force at a pin, or at one made in this pass, does not become a unit; U3  a base holding
//   units made in this pass is not used; its depth is read from the index (chain_length of a kUnit).
// U2 makes the graph of units grow only at its leaves: no cycle, and no unit gets deeper later.
// Not thread-safe.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "store/replay/unit.h"
#include "store/retain/context.h"
#include "store/retain/pack_writer.h"
#include "store/retain/pins.h"

namespace dkfs::retain {

struct Baseline {
  keys::BlockKey key;
  uint8_t shift = 0;
  BlockEntry entry;
};

class Units {
 public:
  // `plain` writes a baseline that does not become part of a unit.
  using Plain = std::function<Status(const Baseline&)>;
  Units(const Context& context, Seq horizon, const Pins* pins, PackWriter* writer, Plain plain)
      : context_(context), horizon_(horizon), pins_(pins), writer_(writer), plain_(std::move(plain)) {}

  // Takes a baseline, the only version of its block in the pass, in (file, layout, block) order. It is written, as part
  // of a unit or plainly, by the time of Close.
  Status Offer(const Baseline& baseline);
  Status Close();
  // A unit that is carried over as it is needs its base as before.
  void Keep(const UnitHeader& header) { made_.insert({header.base_file, header.base_seq}); }
  const std::set<Pins::Moment>& moments() const { return made_; }

 private:
  struct Base {
    FileId file;
    LayoutId layout;
    uint8_t shift = 0;
    Seq at;
    uint64_t size = 0;
  };
  struct Region {
    uint64_t first = 0;
    std::vector<std::byte> bytes;
    uint8_t depth = 0;  // of units in it
  };
  Status FindReplaced(FileId file, FileId* base_file, Seq* at);
  Result<std::optional<Base>> FindBase(FileId file);
  bool MayBecomeUnit(const keys::BlockKey& key, const Base& base) const;
  Result<bool> TryUnit();
  Status ReadUnit(std::vector<std::byte>* bytes);
  Result<bool> ReadRegion(uint64_t first, Region* out);
  Result<uint8_t> DepthOf(const keys::BlockKey& key);
  Result<bool> Encode(Bytes unit, const Region& region, std::string* payload);
  Status Write(const std::string& payload, uint8_t depth);

  const Context& context_;
  const Seq horizon_;
  const Pins* const pins_;
  PackWriter* const writer_;
  const Plain plain_;
  FileId known_;  // the file base_ is of
  std::optional<Base> base_;
  std::vector<Baseline> run_;       // consecutive blocks of known_
  std::set<Pins::Moment> made_;     // base moments units of this pass need
  std::map<FileId, Seq> becoming_;  // files that got units in this pass: the lowest Seq of such a version
};

}  // namespace dkfs::retain
