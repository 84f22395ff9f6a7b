// History: one seeded life of a store, traced: records of every sort, barriers, flushes of the index, packing,
// retention, clean marks, reopening. The records depend on the seed alone; what the store's threads do meanwhile does
// not, so a failure is repeated from its trace.
//
// Marks in the trace, beside "operation N begun", N being the Seq of the record to come:
//   "synced N"  a barrier of Seq N was answered      "oldest N"  history begins there now, or later at the next mark
//   "marking"   MarkClean begins                     "unmarked"  RemoveCleanMark was answered
#pragma once

#include <map>
#include <string>

#include "tests/unit/store/model.h"

namespace dkfs::test {

struct HistoryOptions {
  uint64_t seed = 0;
  int steps = 150;
  std::string store;   // where it lives; does not exist yet
  std::string trace;   // "": untraced
  std::string faults;  // armed once the store is open
};

struct HistoryResult {
  std::map<Seq, ModelTree> moments;
  uint64_t syncs = 0, flushes = 0, packed = 0, deleted = 0, reopens = 0, marks = 0, rolls = 0;
  bool background = false;
};

Status RunHistory(const HistoryOptions& options, HistoryResult* result);

// The clock of all stores of this program: every look is a second later.
Clock StepClock();

}  // namespace dkfs::test
