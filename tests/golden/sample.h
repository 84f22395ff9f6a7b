// A small store in which everything occurs that a store can hold, made through the store's own code: all kinds of
// items, deltas and chains, holes, units, retained history, packs of packs, sealed segments and a tail that nobody
// sealed. With it the trees that its moments must show, from a plain model beside it.
#pragma once

#include <map>
#include <string>

#include "tests/golden/tree.h"

namespace dkfs::golden {

struct Sample {
  std::map<Seq, Tree> moments;  // those that can be restored
};

struct SampleOptions {
  uint64_t seed = 1;
  bool clean = false;  // closed with the clean mark; otherwise as a kill leaves it
};

// Makes a store at `path`, which must not exist. Aborts when the store refuses anything.
Sample MakeSample(const std::string& path, const SampleOptions& options);
// How samples are opened: nothing happens by itself, small segments, all history kept.
StoreOptions SampleStoreOptions();

}  // namespace dkfs::golden
