// What every part of retention works on. Borrowed pointers; all outlive the Retainer.
#pragma once

#include <atomic>
#include <string>

#include "store/base/clock.h"
#include "store/base/pace.h"
#include "store/base/status.h"
#include "store/format/segment.h"
#include "store/index/index.h"
#include "store/journal/journal.h"
#include "store/replay/reconstruct.h"

namespace dkfs::retain {

struct Context {
  std::string journal_path;
  Uuid store{};
  Index* index = nullptr;
  Journal* journal = nullptr;
  SegmentReader* reader = nullptr;
  Reconstructor* reconstructor = nullptr;
  int compression_level = 3;
  Clock clock;
  const std::atomic<bool>* stop = nullptr;
  Pace* pace = nullptr;  // null: never rests
  std::atomic<uint64_t>* steps = nullptr;

  // ECANCELED once stopping was asked for; asked between units of work, which is also when the work may rest.
  Status CheckStop() const {
    steps->fetch_add(1, std::memory_order_relaxed);
    if (pace != nullptr) pace->Rest(*stop);
    return stop->load(std::memory_order_relaxed) ? Status::Error(ECANCELED) : Status::Ok();
  }
};

}  // namespace dkfs::retain
