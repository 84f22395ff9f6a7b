// Judge: opens an image as a mount after the loss of power would, and says what is wrong with it.
//
// Checked: it opens; its tree is the one after some prefix of the records that lies within the bounds; moments of the
// history that must be there read back; no damage is reported, neither by the store nor by verify; a clean mark is
// believed only where there may be one; it takes a further record, packs, and shows the same when opened again.
#pragma once

#include <map>
#include <string>

#include "tests/crash/power/points.h"
#include "tests/unit/store/model.h"

namespace dkfs::test {

class Judge {
 public:
  // Of the history with these moments.
  explicit Judge(const std::map<Seq, ModelTree>* moments) : moments_(*moments) {}

  struct Case {
    Bounds bounds;
    uint64_t seed = 0;  // which of the slower checks are made
    std::string trace;  // "": the opening and what follows is not traced
  };
  // An error says what is wrong. The image is changed by it.
  Status Check(const std::string& image, const Case& one);

 private:
  Status CheckOpen(Store& store, const Bounds& bounds);
  Status CheckMoment(Store& store, Seq at, const Bounds& bounds);
  Status CheckHistory(Store& store, const Bounds& bounds, Random* random);
  Status GoOn(Store& store, const Bounds& bounds, Random* random);
  Status CheckAgain(const std::string& image, const Bounds& bounds);
  ModelTree TreeAt(Seq at, const Bounds& bounds) const;

  const std::map<Seq, ModelTree>& moments_;
  Seq last_;  // of the image under judgement
};

}  // namespace dkfs::test
