// Points: a trace, and at each of its events what must be and what may be in the store after a loss of power there.
#pragma once

#include <string>
#include <vector>

#include "store/base/io_trace.h"
#include "store/format/ids.h"
#include "tests/support/random.h"

namespace dkfs::test {

// What an image made at one point may show.
struct Bounds {
  Seq lower, upper;            // its last Seq
  Seq oldest = kLatest;        // its history begins there at the latest
  bool clean = false;          // it may have a clean mark
  uint64_t base = UINT64_MAX;  // records above it are those the judge has appended
};

class Points {
 public:
  static Result<Points> Read(const std::string& path);

  struct Event {
    TraceType type;
    uint32_t pid;
    IoEvent io;             // kStoreIo
    std::string_view text;  // kText
    uint64_t op = 0;        // kOpBegun
  };
  const std::vector<Event>& events() const { return events_; }
  Bounds At(size_t cut) const;  // after the first `cut` events
  // Places for `count` cuts, in order: next to syncs, names and marks, and anywhere.
  std::vector<size_t> Choose(Random* random, size_t count) const;
  size_t first() const { return first_; }  // where the store is first described

 private:
  explicit Points(TraceReader reader) : reader_(std::move(reader)) {}
  TraceReader reader_;  // owns what the events point to
  std::vector<Event> events_;
  size_t first_ = 0;
  uint64_t base_ = UINT64_MAX;
  Seq kept_;  // the trace of an opening: what the store had from the beginning
};

}  // namespace dkfs::test
