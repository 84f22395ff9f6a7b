#include "store/index/range_map.h"

#include <algorithm>
#include <map>

namespace dkfs {
namespace {

// What a newer row covers of older ones goes; each piece comes once and goes once.
class Painting {
 public:
  void Paint(const RangeMap::Row& row) {
    auto at = pieces_.lower_bound(row.first);
    if (at != pieces_.begin()) {
      auto before = std::prev(at);
      const RangeMap::Row old = before->second;
      if (old.end > row.first) {
        before->second.end = row.first;
        if (old.end > row.end) pieces_.emplace(row.end, RangeMap::Row{old.seq, row.end, old.end});
      }
    }
    while (at != pieces_.end() && at->first < row.end) {
      const RangeMap::Row old = at->second;
      at = pieces_.erase(at);
      if (old.end > row.end) pieces_.emplace(row.end, RangeMap::Row{old.seq, row.end, old.end});
    }
    pieces_.emplace(row.first, row);
  }
  const std::map<uint64_t, RangeMap::Row>& pieces() const { return pieces_; }

 private:
  std::map<uint64_t, RangeMap::Row> pieces_;  // by their first block
};

}  // namespace

RangeMap::RangeMap(const std::vector<Row>& rows, Seq rest) : rest_(rest) {
  Painting painting;
  for (auto row = rows.rbegin(); row != rows.rend(); ++row) {
    if (row->first < row->end) painting.Paint(*row);
  }
  pieces_.reserve(painting.pieces().size());
  for (const auto& [first, piece] : painting.pieces()) pieces_.push_back(piece);
}

const RangeMap::Row* RangeMap::At(uint64_t block) const {
  auto behind = std::upper_bound(pieces_.begin(), pieces_.end(), block,
                                 [](uint64_t value, const Row& piece) { return value < piece.first; });
  if (behind == pieces_.begin()) return nullptr;
  const Row& piece = *std::prev(behind);
  return block < piece.end ? &piece : nullptr;
}

std::optional<Seq> RangeMap::NewestAfter(uint64_t block, Seq after) const {
  const Row* piece = At(block);
  if (piece != nullptr) return piece->seq > after ? piece->seq : Seq{};
  return rest_ > after ? std::nullopt : std::optional(Seq{});
}

uint64_t RangeMap::FirstUncovered(uint64_t block, uint64_t end) const {
  const Row* piece = At(block);
  const Row* const stop = pieces_.data() + pieces_.size();
  for (; piece != nullptr && piece != stop && piece->first <= block && block < end; ++piece) block = piece->end;
  return std::min(block, end);
}

std::shared_ptr<const RangeMap> RangeMaps::Find(FileId file, LayoutId layout, Seq at) {
  MutexLock l(mutex_);
  for (auto known = known_.begin(); known != known_.end(); ++known) {
    if (known->file != file || known->layout != layout || known->at != at || known->map == nullptr) continue;
    known_.splice(known_.begin(), known_, known);
    return known->map;
  }
  return nullptr;
}

uint64_t RangeMaps::Begin(FileId file, LayoutId layout, Seq at) {
  MutexLock l(mutex_);
  known_.push_front({file, layout, at, ++last_number_, nullptr});
  if (known_.size() > kMostMaps) known_.pop_back();
  return last_number_;
}

void RangeMaps::Keep(uint64_t begun, std::shared_ptr<const RangeMap> map) {
  MutexLock l(mutex_);
  for (Known& known : known_) {
    if (known.number == begun) known.map = std::move(map);
  }
}

void RangeMaps::Forget(FileId file, Seq from) {
  MutexLock l(mutex_);
  known_.remove_if([&](const Known& known) { return known.file == file && known.at >= from; });
}

void RangeMaps::ForgetAll() {
  MutexLock l(mutex_);
  known_.clear();
}

}  // namespace dkfs
