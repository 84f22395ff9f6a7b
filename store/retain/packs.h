// Packs: the list of packs, and which of them are worth packing again.
//
// A pack's dead share is estimated by deciding the items of some of its frames with the rule of the passes (rule.h). A
// pack written at horizon h holds nothing that is dead at h, so it is looked at again only when the horizon has moved
// by a good part of what lies behind it. Packing again what is at least half dead rewrites no more than it frees. Not
// thread-safe.
#pragma once

#include <map>
#include <set>
#include <vector>

#include "store/retain/context.h"
#include "store/retain/pins.h"

namespace dkfs::retain {

class Packs {
 public:
  explicit Packs(const Context& context) : context_(context) {}
  Status Load();  // from the segment rows and the marks of damage
  void Add(SegmentId id, const SegmentValue& value, Seq checked);
  void Remove(SegmentId id) { packs_.erase(id); }
  void ForgetEstimates();  // pins went: what rested on them may be dead now
  void MarkDamaged(SegmentId id) { damaged_.insert(id); }
  bool IsDamaged(SegmentId id) const { return damaged_.contains(id); }
  bool Contains(SegmentId id) const { return packs_.contains(id); }
  uint64_t bytes() const;
  size_t size() const { return packs_.size(); }
  std::vector<SegmentInfo> List() const;

  struct Wish {
    Seq horizon;
    Seq newest;
    bool over_budget = false;
    uint64_t limit = 0;  // bytes of packs at most
  };
  // The packs to pack together now, oldest first; empty when none is worth it.
  Result<std::vector<SegmentInfo>> Choose(const Wish& wish, const Pins& pins);

 private:
  struct Pack {
    SegmentInfo info;
    Seq checked;  // the horizon at which `dead` was found
    double dead = 0;
    bool estimated = false;  // since Load
  };
  bool IsDue(const Pack& pack, const Wish& wish) const;
  Result<double> DeadShare(const SegmentInfo& info, Seq horizon, const Pins& pins);
  std::vector<SegmentInfo> SmallOnes(uint64_t limit) const;
  static std::vector<SegmentInfo> UpTo(uint64_t limit, std::vector<const Pack*> wanted);

  const Context& context_;
  std::map<SegmentId, Pack> packs_;
  std::set<SegmentId> damaged_;  // journal segments too
};

}  // namespace dkfs::retain
