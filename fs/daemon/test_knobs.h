// Knobs for tests of the daemon, from the environment; none of them is for users.
//   DKFS_TEST_SEGMENT_BYTES=N  size of the journal's segments
//   DKFS_TEST_HASTE=N          the store's background work, and its history, age N times as fast
//   DKFS_TEST_PASSES=PATH      at the end `NAME PASSES` of each fault point is written there (while DKFS_FAULTS arms
//                              anything)
#pragma once

#include "store/store.h"

namespace dkfs {

void ApplyTestKnobs(StoreOptions* options);
void WriteFaultPasses();

}  // namespace dkfs
