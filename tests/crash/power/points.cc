#include "tests/crash/power/points.h"

#include <algorithm>
#include <charconv>

namespace dkfs::test {
namespace {

// The number in "word N" when the text begins with that word.
bool Parse(std::string_view text, std::string_view word, uint64_t* number) {
  if (!text.starts_with(word) || text.size() <= word.size() || text[word.size()] != ' ') return false;
  const char* begin = text.data() + word.size() + 1;
  return std::from_chars(begin, text.data() + text.size(), *number).ec == std::errc();
}

bool IsInteresting(const Points::Event& event) {
  if (event.type == TraceType::kText) return true;
  return event.type == TraceType::kStoreIo && event.io.op != IoOp::kWrite && event.io.op != IoOp::kAllocate;
}

}  // namespace

Result<Points> Points::Read(const std::string& path) {
  DKFS_TRY_ASSIGN(TraceReader reader, TraceReader::Open(path));
  Points points(std::move(reader));
  for (TraceReader::Event event; points.reader_.Next(&event);) {
    Event known{event.type, event.pid, {}, {}, 0};
    ByteReader in(event.payload);
    if (event.type == TraceType::kStoreIo) {
      DKFS_TRY(IoEvent::Decode(event.payload, &known.io));
      if (known.io.op == IoOp::kBegun && points.first_ == 0) points.first_ = points.events_.size() + 1;
    } else if (event.type == TraceType::kText) {
      known.text = AsString(event.payload);
      uint64_t n = 0;
      if (Parse(known.text, "kept", &n)) points.kept_ = Seq{n};
      if (Parse(known.text, "base", &n)) points.base_ = n;
    } else if (event.type == TraceType::kOpBegun) {
      in.Take(sizeof(uint32_t));
      known.op = in.Le<uint64_t>();
    }
    points.events_.push_back(known);
  }
  return points;
}

Bounds Points::At(size_t cut) const {
  Bounds bounds;
  bounds.lower = bounds.upper = kept_;
  bounds.base = base_;
  bool marked_oldest = false;
  for (size_t i = 0; i < events_.size() && !(i >= cut && marked_oldest); ++i) {
    const Event& event = events_[i];
    uint64_t n = 0;
    if (Parse(event.text, "oldest", &n)) {
      marked_oldest = i >= cut;
      bounds.oldest = Seq{n};
    }
    if (i >= cut) continue;
    if (event.type == TraceType::kOpBegun) bounds.upper = std::max(bounds.upper, Seq{event.op});
    if (Parse(event.text, "synced", &n)) bounds.lower = std::max(bounds.lower, Seq{n});
    if (event.text == "marking") bounds.clean = true;
    if (event.text == "unmarked") bounds.clean = false;
  }
  return bounds;
}

std::vector<size_t> Points::Choose(Random* random, size_t count) const {
  std::vector<size_t> interesting, cuts;
  for (size_t i = first_; i < events_.size(); ++i) {
    if (IsInteresting(events_[i])) interesting.push_back(i);
  }
  for (size_t i = 0; i < count; ++i) {
    if (random->OneIn(3) || interesting.empty()) {
      cuts.push_back(first_ + random->Below(events_.size() - first_ + 1));
    } else {
      cuts.push_back(interesting[random->Below(interesting.size())] + random->Below(2));
    }
  }
  std::sort(cuts.begin(), cuts.end());
  cuts.erase(std::unique(cuts.begin(), cuts.end()), cuts.end());
  return cuts;
}

}  // namespace dkfs::test
