// History: what must and what may be in a recovered tree, for every moment of a logged run.
//
// A thread's part of the tree passes through states: one before its first operation and one after each step of each (an
// operation has several steps when the kernel makes several requests of it). A tree satisfies a promise when there is
// for each thread a state k such that
//
//   O1  the thread's part of the tree is exactly state k;
//   O2  lo <= k <= hi: hi is the last step of the last operation begun; lo is the end of the last operation that had
//       ended (kCalls), or of the newest one that a sync that had ended covers (kSynced, kCached);
//   O3  over threads: if operation a had ended before operation b began and b is in, wholly or partly, so is a.
//
// A call that failed has changed nothing; only one that makes several requests, or whose data the kernel holds, may be
// there in part, and its thread stops there. kCached (order=fsync) demands O1 of names and attributes; the content of a
// file may be, page by page, that of any moment from its last sync on.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "tests/crash/oracle/plan.h"
#include "tests/crash/oracle/tree.h"

namespace dkfs::oracle {

enum class Promise { kCalls, kSynced, kCached };
inline constexpr uint64_t kWholeTrace = ~uint64_t{0};

struct Verdict {
  bool ok = true;
  std::string violation;     // what differs, the nearest state first
  std::vector<uint64_t> at;  // per thread: operations that are in
};

class History {
 public:
  // Repeats the run from its trace. EINVAL: the trace is of another workload.
  static Result<History> Load(const Workload& workload, const std::string& trace);

  // Is the tree one that may be found after a loss right behind the events that end at or before `offset`? A tree that
  // cannot be read is a violation.
  Verdict CheckTree(const std::string& dir, Promise promise, uint64_t offset = kWholeTrace) const;
  Verdict CheckRows(const Rows& rows, Promise promise, uint64_t offset = kWholeTrace) const;
  // False while the setup had not ended at `offset`: nothing is promised yet.
  bool Began(uint64_t offset) const { return began_ != 0 && began_ <= offset; }
  std::string Listing() const;  // every operation, one a line
  // The tree after `ops` operations of each thread, for tests of the oracle.
  Rows RowsAfter(const std::vector<uint64_t>& ops) const;

 private:
  struct Entry {  // one operation
    Op op;
    uint64_t begun = 0, ended = 0;  // offsets behind the events; 0: it did not
    int error = 0;
    size_t first = 0, last = 0;  // states before and after
    size_t synced = 0;           // its success promises this state
    std::vector<int64_t> covered;
  };
  struct Version {  // of a node's content
    size_t state = 0;
    std::shared_ptr<const std::string> data;
  };
  struct Part {  // of one thread
    std::vector<Rows> states;
    std::vector<Entry> entries;
    std::map<int64_t, std::vector<Version>> versions;
  };
  struct Span {
    size_t lo = 0, hi = 0;
    uint64_t offset = 0;
  };

  Status ReadEvents(const std::string& trace);
  Status Repeat(uint32_t thread);
  Span SpanOf(const Part& part, Promise promise, uint64_t offset) const;
  std::string Difference(const Part& part, size_t state, const Rows& rows, Promise promise, const Span& span) const;
  std::string ContentDifference(const Part& part, const Row& want, const Row& got, const Span& span) const;
  std::string Explain(uint32_t thread, const Rows& rows, Promise promise, const Span& span) const;
  Verdict Reconcile(const std::vector<std::vector<size_t>>& candidates, const std::vector<Span>& spans) const;
  size_t Demanded(const Part& part, const Part& by, size_t state) const;

  Workload workload_;
  std::vector<Part> parts_;
  uint64_t began_ = 0;
};

}  // namespace dkfs::oracle
