// Pins: moments of single files that must stay readable because units in packs are patches against them (T4).
// A pin is a row in meta: base file, base Seq, and the pack whose units need it. It is written before the index points
// to such a unit and goes with the pack's segment row. Not thread-safe.
#pragma once

#include <map>
#include <set>
#include <vector>

#include "store/base/status.h"
#include "store/format/ids.h"
#include "store/kv/kv.h"

namespace dkfs::retain {

class Pins {
 public:
  struct Moment {
    FileId file;
    Seq at;
    friend auto operator<=>(const Moment&, const Moment&) = default;
  };
  Status Load(const Kv& kv);
  void Add(SegmentId pack, const std::set<Moment>& moments, KvBatch* batch);
  void Remove(SegmentId pack, KvBatch* batch);
  bool Has(SegmentId pack) const { return by_pack_.contains(pack); }
  // Moments at which versions of the file are needed beside the window; ascending.
  std::vector<Seq> Of(FileId file) const;
  // True when all pins of the pack lie before the horizon: its units keep alive what the window does not need any more.
  // Not when only some do, or it would be written again for each of them; unless space is wanted `at_once`.
  bool IsOverdue(SegmentId pack, Seq horizon, bool at_once) const;

 private:
  std::map<SegmentId, std::set<Moment>> by_pack_;
  std::map<Moment, int> moments_;  // how many packs pin it
};

}  // namespace dkfs::retain
