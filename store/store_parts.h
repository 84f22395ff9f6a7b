// The parts of an open store, for store/verify and the tool only.
#pragma once

#include "store/replay/reconstruct.h"
#include "store/store.h"
#include "store/store_dir.h"

namespace dkfs {

class Store::Parts {
 public:
  const StoreDir* dir = nullptr;
  Index* index = nullptr;
  SegmentReader* reader = nullptr;
  Reconstructor* reconstructor = nullptr;
  Status index_error;  // read-only: why the store's own index could not be used and was rebuilt aside
  Status damage;       // read-only: why the records end where they do, if not at the journal's end
};

}  // namespace dkfs
