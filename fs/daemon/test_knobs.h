// Knobs for tests of the daemon, from the environment; none of them is for users.
//   DKFS_TEST_SEGMENT_BYTES=N  size of the journal's segments
//   DKFS_TEST_HASTE=N          the store's background work, its history, and the profiler age N times as fast
//   DKFS_TEST_SHAKE=SEED       every file that is written gets another layout, any, all the time
//   DKFS_TEST_DEFER=N          new content of N bytes, in files of any size, is deferred
//   DKFS_TEST_DEFER_MS=N       ... for N ms after the last, not 20
//   DKFS_TEST_PASSES=PATH      at the end `NAME PASSES` of each fault point is written there (while DKFS_FAULTS arms
//                              anything)
#pragma once

#include "fs/daemon/profiling.h"
#include "fs/hydrate/hydrator.h"
#include "store/store.h"

namespace dkfs {

void ApplyTestKnobs(StoreOptions* options);
void ApplyTestKnobs(ProfilingOptions* options);
void ApplyTestKnobs(DeferOptions* options);
void WriteFaultPasses();

}  // namespace dkfs
