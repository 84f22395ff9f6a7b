// The damages: what can be done to the files of a store. Each variant has a name that tells it wholly, so that one
// line repeats it.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "store/format/ids.h"

namespace dkfs::damage {

struct Variant {
  std::string name;  // "KIND FILE WHERE"
  std::string file;  // below the store's directory
  std::function<void(const std::string& store)> apply;
  // Why nobody need notice; "" when somebody must. What is read must be right all the same.
  std::string harmless;
  // Records behind this Seq may be gone without a word: nothing that is left says that they had been synced, so it is
  // as if power had been lost before they were.
  Seq floor = kLatest;
  bool nameless = false;  // nothing that is left knows that the file, or its last records, had been there
  uint64_t weight = 1;    // of being taken into the short form
};

struct Corpus {
  std::string store;  // whole; left alone
  std::string other;  // of the same making, with other content and another identity
  Seq indexed, last;  // what its durable index holds, and its journal
};

// All variants, in an order that does not change for one and the same store.
std::vector<Variant> AllVariants(const Corpus& corpus);

}  // namespace dkfs::damage
